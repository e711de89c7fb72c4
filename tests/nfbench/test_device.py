"""Precision: what is rounded, where, and for how long."""

import pytest
import torch
from torch import nn

from nfbench.device import autocast, fast_float32, in_full_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


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
