"""FLOPs and products of matrices of calls whose count is known."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from nfbench.measure.flops import count_flops
from nfbench.measure.work import Product, Work, seconds_of_products, work_of

F32 = torch.float32


def test_a_product_s_flops_are_two_a_multiplication():
    assert Product((3, 5), (5, 7), F32).flops == 2 * 3 * 5 * 7
    assert Product((4, 3, 5), (4, 5, 7), F32).flops == 4 * 2 * 3 * 5 * 7


@pytest.mark.parametrize("inference", [False, True])
def test_a_linear_layer_is_one_product_and_attention_two(inference: bool):
    layer, x = torch.nn.Linear(6, 10), torch.ones(4, 6)
    q, kv = torch.ones(2, 3, 5, 8), torch.ones(2, 3, 7, 8)
    with torch.inference_mode(inference):
        linear = work_of(lambda: layer(x))
        attention = work_of(lambda: F.scaled_dot_product_attention(q, kv, kv))
    assert linear == Work(2 * 60 * 4, Counter({Product((4, 6), (6, 10), F32): 1}))
    assert sorted(attention.products.items()) == [
        (Product((6, 5, 7), (6, 7, 8), F32), 1),
        (Product((6, 5, 8), (6, 8, 7), F32), 1),
    ]
    assert attention.flops == 2 * (2 * 2 * 3 * 5 * 7 * 8)
    assert attention.only_products()


def test_products_into_given_tensors_and_of_the_backward_pass_are_seen():
    a, b, out = torch.ones(3, 5, requires_grad=True), torch.ones(5, 7, requires_grad=True), torch.ones(3, 7)
    assert work_of(lambda: torch.addmm(out, a.detach(), b.detach(), out=out)).flops == 2 * 3 * 5 * 7
    backward = work_of(lambda: (a @ b).sum().backward())
    assert backward.flops == 3 * (2 * 3 * 5 * 7)
    assert backward.only_products()


def test_work_is_that_of_one_call_and_what_torch_counts():
    calls = []

    def call() -> None:
        calls.append(torch.ones(3, 5) @ torch.ones(5, 7))

    assert work_of(call).flops == count_flops(call)
    assert len(calls) == 3


def test_a_convolution_is_no_product_of_matrices():
    x, weight = torch.ones(1, 2, 6, 6), torch.ones(3, 2, 3, 3)
    found = work_of(lambda: F.conv2d(x, weight))
    assert found.flops > 0
    assert not found.only_products()


class FakeGraph:
    """A CUDA graph that replays nothing."""

    def replay(self) -> None:
        pass


class FakeCapture:
    """The context in which a CUDA graph is captured."""

    def __init__(self, graph: FakeGraph):
        self.cuda_graph = graph

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def fake_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "graph", FakeCapture)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)


@pytest.mark.usefixtures("fake_graphs")
def test_what_a_graph_replays_counts_every_time_and_its_capture_does_not():
    a, b, graphs = torch.ones(3, 5), torch.ones(5, 7), []

    def call() -> None:
        if not graphs:
            graphs.append(FakeGraph())
            _ = a @ b  # a warm-up before the capture
            with torch.cuda.graph(graphs[0]):
                _ = a @ b
        for _ in range(4):
            graphs[0].replay()
        _ = b @ torch.ones(7, 2)

    found = work_of(call)
    expected = {Product((3, 5), (5, 7), F32): 4, Product((5, 7), (7, 2), F32): 1}
    assert found == Work(4 * 210 + 140, Counter(expected))
    assert torch.cuda.CUDAGraph.replay.__qualname__ == "FakeGraph.replay"  # nothing stays patched


@pytest.mark.usefixtures("fake_graphs")
def test_a_graph_captured_before_cannot_be_counted():
    graph = FakeGraph()
    with pytest.raises(RuntimeError, match="captured earlier"):
        work_of(lambda: graph.replay())


def test_the_seconds_of_products_grow_with_their_number():
    product = Product((64, 64), (64, 64), F32)
    assert seconds_of_products(Counter(), "cpu") == 0
    few = seconds_of_products(Counter({product: 1}), "cpu", max_seconds=0.01)
    many = seconds_of_products(Counter({product: 1000}), "cpu", max_seconds=0.01)
    assert 0 < few < many
