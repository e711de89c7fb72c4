"""Where and how networks run: device, precision, compilation, CUDA graphs."""

import copy
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nfbench.errors import UserError

COMPILE_WORDS = ("auto", "never")
# Compiling takes up to about a minute. A training's step takes some ten milliseconds or more on a GPU, of
# which fused kernels save a part: below this many steps less is saved than spent.
TRAINING_STEPS_THAT_PAY = 5000
SHORT_SEQUENCE, MANY_SEQUENCES = 64, 32  # tokens; images times heads
MOST_SHAPES = 64  # batch sizes and precisions that a function is compiled for; torch stops at 8


@dataclass(frozen=True)
class Runtime:
    """Where and how a training runs.

    Attributes:
        device: what it runs on.
        precision: "fp32" or "bf16".
        compile: "auto" or "never", see `compiling_pays`.
    """

    device: torch.device
    precision: str
    compile: str = "never"

    @classmethod
    def resolve(cls, device: str, precision: str, compile: str = "never") -> "Runtime":
        """Read the keys `device`, `precision` and `compile` of an experiment file.

        Raises:
            UserError: the device is not there.
        """
        found = resolve_device(device)
        return cls(found, resolve_precision(precision, found), compile)


def resolve_device(wanted: str) -> torch.device:
    """Turn "auto", "cpu" or "cuda" into a device; "auto" takes the GPU where there is one.

    Raises:
        UserError: "cuda" on a machine without a usable GPU.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device is 'cuda' but torch finds no GPU; set device to 'auto' or 'cpu'.")
    return torch.device(wanted)


def resolve_precision(wanted: str, device: torch.device) -> str:
    """Turn "auto" into "bf16" on a GPU and "fp32" on a CPU, where bf16 is slower."""
    if wanted == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return wanted


def timed_precisions(wanted: Sequence[str] | None, device: torch.device) -> list[str]:
    """Return what samplers are timed in, fp32 first, with which the images of the others are compared.

    "tf32" is float32 whose products a GPU takes with 10 bits of mantissa (bfloat16 has 7, float32 23).

    Raises:
        UserError: "tf32" is asked for on a CPU, which has none.
    """
    if wanted is None:
        wanted = ["fp32", "tf32", "bf16"] if device.type == "cuda" else ["fp32"]
    if "tf32" in wanted and device.type != "cuda":
        raise UserError("'speed.precisions' has 'tf32', which a GPU alone has; leave it out.")
    return sorted(wanted, key=lambda precision: precision != "fp32")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Return the autocast context of a precision."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def is_mixed(device: torch.device) -> bool:
    """Return whether `autocast` is on for a device; tensors without values have none."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def no_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return a context outside `autocast`."""
    return torch.autocast(device.type, enabled=False) if is_mixed(device) else nullcontext()


def checked_precision(precision: str, sampler: str) -> str:
    """Return a sampler's option `precision`.

    Raises:
        UserError: it is neither "fp32" nor "bf16".
    """
    if precision not in ("fp32", "bf16"):
        raise UserError(f"'precision' of {sampler} is '{precision}'; it must be 'fp32' or 'bf16'.")
    return precision


Network = TypeVar("Network", bound=nn.Module)


def in_precision(
    network: Network, precision: str, layers: Callable[[Network], Iterable[nn.Module]]
) -> Network:
    """Return the network itself, or for bf16 a copy whose layers' linear maps have their weights cast.

    For use under `autocast`, which without gradients keeps no cast weights, and would cast all of them anew
    at every call.
    """
    if precision == "fp32":
        return network
    network = copy.deepcopy(network)
    for layer in layers(network):
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
    return network


@contextmanager
def no_attention_plans() -> Iterator[None]:
    """Keep cuDNN out of attention, for calls with ever new numbers of keys.

    torch takes it first on Hopper GPUs, and it builds a plan, up to half a second, for every new shape. The
    other fused kernels have no plans.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def attend(q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool = False, scale: float | None = None) -> Tensor:
    """Return F.scaled_dot_product_attention of (B, heads, T, head_dim), up to rounding.

    On several cores torch's fused kernel of a CPU, made for long sequences, takes 1.5 times as long as plain
    products on many short ones, gradients included.
    """
    batch, heads, tokens, _ = q.shape
    is_many = batch * heads >= MANY_SEQUENCES and tokens <= SHORT_SEQUENCE
    if q.device.type != "cpu" or not is_many or is_mixed(q.device):
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=scale)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    mask = q.new_full((tokens, tokens), -torch.inf if is_causal else 0.0).triu(1)
    flat_q, flat_k, flat_v = (x.flatten(0, 1) for x in (q, k, v))
    weights = torch.baddbmm(mask, flat_q, flat_k.mT, alpha=scale).softmax(dim=-1)
    return torch.bmm(weights, flat_v).view(q.shape)


def in_full_precision(module: nn.Module, x: Tensor) -> Tensor:
    """Evaluate a module on what `x` is, in the precision of its weights, also inside `autocast`.

    For the few narrow maps whose rounding would be seen in the result: what tokens are embedded from, and
    what log-scales, shifts and images are read off.
    """
    if not is_mixed(x.device):
        return module(x)
    with torch.autocast(x.device.type, enabled=False):
        return module(x.to(next(module.parameters()).dtype))


@contextmanager
def fast_float32(device: torch.device) -> Iterator[None]:
    """Let a GPU take products of float32 in TF32: 10 bits of mantissa, where bfloat16 has 7 and float32 23.

    For what must be better than bfloat16 and is too much for float32 proper, some ten times slower.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def compiling_pays(wanted: str, device: torch.device, steps: int) -> bool:
    """Return whether compiling a network pays for a training of so many steps; on a CPU never.

    Raises:
        UserError: `wanted` is neither "auto" nor "never".
    """
    if wanted not in COMPILE_WORDS:
        raise UserError(f"compile is '{wanted}'; it must be 'auto' or 'never'.")
    return wanted == "auto" and device.type == "cuda" and steps >= TRAINING_STEPS_THAT_PAY


def compiled(fn: Callable[..., Any], backend: str = "inductor") -> Callable[..., Any]:
    """Compile a function for fixed shapes, one graph each, an error where it cannot be one."""
    torch._dynamo.config.recompile_limit = MOST_SHAPES
    return torch.compile(fn, backend=backend, dynamic=False, fullgraph=True)


def compile_repeated(model: nn.Module, backend: str = "inductor") -> int:
    """Compile in place the parts that a network consists of most, its blocks or groups; return their number.

    They are the modules of the same class as those of the largest `nn.ModuleList` among the network's
    children. As they are alike, the compiler works once for all of them, whatever the depth. Weights keep
    their names, and what is called on the network itself (`encode`, `reverse`, ...) uses the compiled parts.

    Raises:
        ValueError: the network repeats nothing.
    """
    lists = [child for child in model.children() if isinstance(child, nn.ModuleList) and len(child)]
    if not lists:
        raise ValueError(f"{type(model).__name__} has no list of modules to compile")
    largest = max(lists, key=lambda parts: sum(p.numel() for p in parts.parameters()))
    alike = [module for module in model.modules() if type(module) is type(largest[0])]
    for module in alike:
        module.compile(backend=backend, dynamic=False)
    return len(alike)


@cache
def _capture_stream() -> torch.cuda.Stream:
    """Return the stream of all captures: for each one cuBLAS would take a workspace, and keep it."""
    return torch.cuda.Stream()


class CudaGraph:
    """`fn` of tensors on a GPU, for inputs of the given shapes.

    Args:
        fn: takes the inputs, returns a tensor; it may not wait for the GPU, and what it does beside its
            kernels is done now and never again. It must hold all else that its kernels read, and what it
            holds must stay where it is.
        inputs: an example; what they hold does not matter to the result.
    """

    def __init__(self, fn: Callable[..., Tensor], inputs: Sequence[Tensor]):
        self._fn = fn  # keeps alive what the graph reads
        with torch.inference_mode(False):  # or they could not be written outside of it
            self._inputs = [given.clone() for given in inputs]
        stream = _capture_stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            fn(*self._inputs)  # libraries set themselves up on first use, which a capture forbids
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            self._output = fn(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return fn(*inputs), in memory of its own."""
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        return self._output.clone()


class CudaGraphs:
    """Functions replayed as CUDA graphs, one graph a key, of which the latest are kept.

    Args:
        most: graphs to keep; each holds what its kernels write.
    """

    def __init__(self, most: int):
        self._most = most
        self._graphs: dict[Hashable, CudaGraph] = {}

    def replay(self, key: Hashable, fn: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """Return fn(*inputs); the first call with a key captures `fn`, later ones take it as it was then."""
        if key not in self._graphs:
            if len(self._graphs) >= self._most:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[key] = CudaGraph(fn, inputs)
        return self._graphs[key](*inputs)

    def clear(self) -> None:
        """Drop all graphs, e.g. where weights have moved."""
        self._graphs.clear()
