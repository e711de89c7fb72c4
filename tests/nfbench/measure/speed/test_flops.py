"""FLOPs of computations whose count is known."""

import pytest
import torch
import torch.nn.functional as F

from nfbench.measure.speed.flops import count_flops


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_product_of_matrices_takes_two_flops_a_multiplication(device: str):
    a, b = torch.ones(3, 5, device=device), torch.ones(5, 7, device=device)
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7
    assert count_flops(lambda: a.expand(4, 3, 5) @ b) == 4 * 2 * 3 * 5 * 7
    assert count_flops(lambda: torch.einsum("ij,jk->ik", a, b)) == 2 * 3 * 5 * 7


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("inference", [False, True])
def test_a_linear_layer_takes_two_flops_a_weight_and_token(device: str, inference: bool):
    layer = torch.nn.Linear(6, 10, device=device)
    with torch.inference_mode(inference):
        assert count_flops(lambda: layer(torch.ones(4, 3, 6, device=device))) == 2 * 60 * 4 * 3


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_takes_two_products_of_all_queries_with_all_keys(device: str, causal: bool):
    q, kv = torch.ones(2, 3, 5, 8, device=device), torch.ones(2, 3, 7, 8, device=device)
    counted = count_flops(lambda: F.scaled_dot_product_attention(q, kv, kv, is_causal=causal))
    assert counted == 2 * (2 * 2 * 3 * 5 * 7 * 8)


def test_the_backward_pass_takes_a_product_for_each_factor():
    a, b = torch.ones(3, 5, requires_grad=True), torch.ones(5, 7, requires_grad=True)
    assert count_flops(lambda: (a @ b).sum().backward()) == 3 * (2 * 3 * 5 * 7)


def test_what_is_no_product_of_matrices_is_not_counted():
    x = torch.ones(4, 4)
    assert count_flops(lambda: F.layer_norm(torch.softmax(F.gelu(x) + 2 * x, dim=1), (4,))) == 0


def test_the_computation_runs_once_and_its_error_comes_through():
    calls = []
    count_flops(lambda: calls.append(1))
    assert calls == [1]
    with pytest.raises(ZeroDivisionError):
        count_flops(lambda: 1 / 0)
