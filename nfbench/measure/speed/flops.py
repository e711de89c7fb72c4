"""Floating-point operations of a computation, counted by PyTorch while it runs."""

from collections.abc import Callable
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_flops(fn: Callable[[], Any]) -> int:
    """Run `fn` and count its FLOPs; a multiplication with its addition is two.

    Products of matrices and convolutions are counted, nothing else: norms, activations and softmax are
    not. Attention is taken apart into its two products, so that the count is the same with every kernel
    and on every device, and what a causal mask hides is counted all the same. On the meta device (tensors
    without values) the count costs neither memory nor arithmetic. The replay of a CUDA graph is not seen.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        fn()
    return counter.get_total_flops()
