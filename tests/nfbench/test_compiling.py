"""When networks are compiled, and that a compiled one computes the same."""

import pytest
import torch
from torch import nn

from nfbench.compiling import TRAINING_STEPS_THAT_PAY, compile_repeated, compiling_pays
from nfbench.device import autocast, in_full_precision
from nfbench.errors import UserError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


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
