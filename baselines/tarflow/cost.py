"""What an inverse costs: evaluations, counted where they happen, and FLOPs by the architecture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from baselines.tarflow.model import Block, KeysValues, TarFlow, TarFlowSpec
from nfbench.measure.speed.flops import count_flops
from nfbench.runtime import CudaGraphs


@dataclass
class Count:
    """Evaluations of single blocks, one an image and pass, and the tokens they evaluated.

    An image that has converged and left the batch costs nothing from then on, so both are sums over
    images; guidance, which needs two evaluations, counts twice.
    """

    evaluations: int = 0
    tokens: int = 0

    def add(self, images: int, tokens: int) -> None:
        """Count one call of a block on a number of images, of as many tokens each."""
        self.evaluations += images
        self.tokens += images * tokens


class CountedEvaluation:
    """A network's evaluation, counted; on a GPU it is replayed as a CUDA graph, one for each batch size.

    Args:
        fn: evaluates the network on tensors, each with the images along its first dimension.
        parts: what the network consists of, blocks or stages, whose first input is tokens (B, T, ...).
        graph: whether a GPU replays a graph.
    """

    GRAPHS_KEPT = 8  # each holds the network's activations

    def __init__(self, fn: Callable[..., Tensor], parts: Sequence[nn.Module], graph: bool = True):
        self._fn, self._parts, self._graph = fn, parts, graph
        self._graphs, self._counts = CudaGraphs(self.GRAPHS_KEPT), {}

    def __call__(self, *given: Tensor) -> tuple[Tensor, float, float]:
        """Return fn(*given), evaluations of the whole network an image (NFE), and tokens that they took."""
        replays = self._graph and given[0].is_cuda
        result, count = (self.replayed if replays else self.evaluated)(*given)
        return result, count.evaluations / (len(self._parts) * len(given[0])), count.tokens / len(given[0])

    def evaluated(self, *given: Tensor) -> tuple[Tensor, Count]:
        """Evaluate, and count the evaluations of the parts."""
        count = Count()
        hooks = [
            part.register_forward_hook(lambda _, inputs, __: count.add(*inputs[0].shape[:2]))
            for part in self._parts
        ]
        try:
            return self._fn(*given), count
        finally:
            for hook in hooks:
                hook.remove()

    def replayed(self, *given: Tensor) -> tuple[Tensor, Count]:
        """Do the same with a graph, captured and counted at the first call with a batch size."""
        key = (len(given), given[0].shape, given[0].dtype)
        if key not in self._counts:
            _, self._counts[key] = self.evaluated(*given)
        return self._graphs.replay(key, self._fn, given), self._counts[key]

    def clear(self) -> None:
        """Drop the graphs, which read the weights where they were."""
        self._graphs.clear()


class CountedBlock:
    """A flow block that counts each prediction asked of it."""

    def __init__(self, block: Block, count: Count):
        self.block, self.count = block, count
        self.order = block.order

    def predict(
        self,
        x: Tensor,
        y: Tensor | None,
        past: list[KeysValues] | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor, list[KeysValues]]:
        """Predict and count one call; see `Block.predict`."""
        self.count.add(*x.shape[:2])
        return self.block.predict(x, y, past, temperature)


@cache
@torch.no_grad()
def encode_flops(spec: TarFlowSpec) -> int:
    """Count the FLOPs of encoding one image: every block once, on T - 1 tokens at a time."""
    with torch.device("meta"):
        flow = TarFlow(spec)
        x = torch.empty(1, spec.channels, spec.image_size, spec.image_size)
        y = torch.zeros(1, dtype=torch.long)
        return count_flops(lambda: flow.encode(x, y))


@cache
@torch.no_grad()
def pass_flops(spec: TarFlowSpec) -> int:
    """Count the FLOPs of one pass of every block over all T tokens, as FARMER's student makes it."""
    with torch.device("meta"):
        block = TarFlow(spec).blocks[0]
        h, y = torch.empty(1, spec.n_tokens, spec.token_dim), torch.zeros(1, dtype=torch.long)
        return spec.blocks * count_flops(lambda: block.predict(h, y))


@cache
def denoise_flops(spec: TarFlowSpec) -> int:
    """Count the FLOPs of score-based denoising of one image: the flow forward, and back to the image."""
    with torch.device("meta"):
        flow = TarFlow(spec).requires_grad_(False)
        x = torch.empty(1, spec.channels, spec.image_size, spec.image_size, requires_grad=True)
        y = torch.zeros(1, dtype=torch.long)
        return count_flops(lambda: flow.encode(x, y).z.sum().backward())


@cache
@torch.no_grad()
def inverse_flops(spec: TarFlowSpec) -> int:
    """Count the FLOPs of the exact inverse of one image: K (T - 1) token steps with a cache.

    Without guidance, which doubles them. The blocks are alike, and a step's FLOPs are affine in the number
    of keys that it sees, itself included: 1 in the first step and T - 1 in the last. So the first and the
    last step are counted, and the steps of a block sum up to T - 1 times the mean of the two.
    """
    steps = spec.n_tokens - 1
    if not steps:
        return 0
    with torch.device("meta"):
        block = TarFlow(spec).blocks[0]
        token, y = torch.empty(1, 1, spec.token_dim), torch.zeros(1, dtype=torch.long)
        heads = spec.width // spec.head_dim

        def step_flops(past: int) -> int:
            keys = torch.empty(1, heads, past, spec.head_dim)
            return count_flops(lambda: block.predict(token, y, [(keys, keys)] * spec.layers_per_block))

        first, last = step_flops(0), step_flops(steps - 1)
    return spec.blocks * steps * (first + last) // 2
