"""A computation captured once as a CUDA graph and replayed: one launch in place of hundreds."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UPS = 3  # libraries set themselves up on first use, which a capture forbids


class CudaGraph:
    """`fn` of tensors on a GPU, for inputs of the given shapes.

    Args:
        fn: takes the inputs, returns a tensor; it may not wait for the GPU, and what it does beside its
            kernels is done now and never again. The weights that it reads must stay where they are.
        inputs: an example; what they hold does not matter to the result.
    """

    def __init__(self, fn: Callable[..., Tensor], inputs: Sequence[Tensor]):
        self._inputs = [given.clone() for given in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                fn(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = fn(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return fn(*inputs), in memory of its own."""
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        return self._output.clone()
