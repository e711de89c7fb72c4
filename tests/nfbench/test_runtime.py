"""Where and how networks run: device, precision, and what is compiled and computes the same."""

import gc
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nfbench import runtime
from nfbench.errors import UserError
from nfbench.runtime import (
    TRAINING_STEPS_THAT_PAY,
    CudaGraphs,
    Runtime,
    autocast,
    compile_repeated,
    compiling_pays,
    fast_float32,
    in_full_precision,
    resolve_precision,
    timed_precisions,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_auto_is_bf16_on_a_gpu_and_fp32_on_a_cpu_and_words_are_kept():
    assert [resolve_precision("auto", device) for device in (CPU, GPU)] == ["fp32", "bf16"]
    assert resolve_precision("bf16", CPU) == "bf16"
    assert Runtime.resolve("cpu", "auto", "auto") == Runtime(CPU, "fp32", "auto")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_gpu_is_refused_and_auto_does_without():
    with pytest.raises(UserError, match="device is 'cuda' but torch finds no GPU; set device to 'auto'"):
        Runtime.resolve("cuda", "auto")
    assert Runtime.resolve("auto", "auto").device == CPU


def test_a_graph_keeps_alive_what_it_reads(monkeypatch):
    """Its function alone may hold it, and kernels that are replayed read the memory, not the tensor."""
    nothing = SimpleNamespace(wait_stream=lambda stream: None, replay=lambda: None)
    for name in ("Stream", "current_stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, lambda: nothing)
    for name in ("stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, **__: nullcontext())
    monkeypatch.setattr(runtime, "_capture_stream", lambda: nothing)

    class Weights:
        value = 2.0

    weights = Weights()
    kept = weakref.ref(weights)
    graphs = CudaGraphs(2)
    ones = torch.ones(2)
    assert graphs.replay(1, lambda x, weights=weights: x * weights.value, [ones]).tolist() == [2.0, 2.0]
    del weights
    gc.collect()
    assert kept() is not None
    graphs.replay(2, torch.neg, [ones])
    assert graphs.replay(1, torch.neg, [ones]).tolist() == [2.0, 2.0]  # what was captured
    graphs.replay(3, torch.neg, [ones])  # the oldest goes
    gc.collect()
    assert kept() is None


def test_samplers_are_timed_in_what_the_device_has_fp32_first():
    assert timed_precisions(None, CPU) == ["fp32"]
    assert timed_precisions(None, GPU) == ["fp32", "tf32", "bf16"]
    assert timed_precisions(["bf16", "fp32"], CPU) == ["fp32", "bf16"]
    with pytest.raises(UserError, match="'speed.precisions' has 'tf32', which a GPU alone has"):
        timed_precisions(["tf32"], CPU)


def test_a_module_in_full_precision_rounds_nothing_inside_autocast():
    linear, x = nn.Linear(6, 6), torch.randn(3, 6)
    with autocast(CPU, "bf16"):
        assert linear(x).dtype == torch.bfloat16
        result = in_full_precision(linear, x)
        assert in_full_precision(linear, x.bfloat16()).dtype == torch.float32
    assert torch.equal(result, linear(x))


def test_a_module_in_full_precision_is_sized_up_without_values():
    with torch.device("meta"):
        assert in_full_precision(nn.Linear(6, 4), torch.empty(3, 6)).shape == (3, 4)


@pytest.mark.parametrize("tokens", [1, 5, runtime.SHORT_SEQUENCE + 1])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention_is_torch_s_with_its_gradient(tokens, is_causal, scale):
    rng = torch.Generator().manual_seed(0)
    given = [
        torch.randn(runtime.MANY_SEQUENCES, 1, tokens, 4, generator=rng, dtype=torch.float64)
        for _ in range(3)
    ]
    found = []
    for function in (runtime.attend, F.scaled_dot_product_attention):
        q, k, v = (x.clone().requires_grad_(True) for x in given)
        out = function(q, k, v, is_causal=is_causal, scale=scale)
        found.append([out, *torch.autograd.grad(out.square().sum(), (q, k, v))])
    torch.testing.assert_close(*found)


def test_tf32_is_allowed_on_a_gpu_alone():
    with fast_float32(CPU):
        assert torch.get_float32_matmul_precision() == "highest"
    with fast_float32(GPU):
        assert torch.get_float32_matmul_precision() == "high"


def test_tf32_is_allowed_for_a_while_whatever_happens():
    def fail():
        with fast_float32(GPU):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_float32_matmul_precision() == "highest"


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        return x + torch.sin(in_full_precision(self.linear, x))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(6, 1) for _ in range(2))
        self.parts = nn.ModuleList(Part() for _ in range(4))
        self.last = Part()

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return self.heads[0](self.last(x))


@pytest.mark.parametrize(
    ("wanted", "device", "steps", "pays"),
    [
        ("auto", GPU, TRAINING_STEPS_THAT_PAY, True),
        ("auto", GPU, TRAINING_STEPS_THAT_PAY - 1, False),
        ("auto", CPU, 10**9, False),
        ("never", GPU, 10**9, False),
    ],
)
def test_only_a_long_training_on_a_gpu_is_compiled(wanted, device, steps, pays):
    assert compiling_pays(wanted, device, steps) == pays


def test_a_misspelt_word_is_refused():
    with pytest.raises(UserError, match="compile is 'always'; it must be 'auto' or 'never'"):
        compiling_pays("always", CPU, 1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_compiler_works_once_for_all_parts_that_are_alike_and_they_compute_the_same(precision):
    torch.compiler.reset()
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    torch.manual_seed(0)
    network, x = Network(), torch.randn(3, 6)
    names = list(network.state_dict())
    with autocast(CPU, precision):
        expected = network(x)
        assert compile_repeated(network, backend) == 5
        assert torch.equal(network(x), expected)
    assert len(graphs) == 2  # of five parts: the first is given what has no gradient
    assert list(network.state_dict()) == names


def test_a_network_without_repeated_parts_is_refused():
    with pytest.raises(ValueError, match="Linear has no list of modules to compile"):
        compile_repeated(nn.Linear(2, 2))
