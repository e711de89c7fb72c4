"""Muon with the weights of one shape orthogonalised as a batch; see torch.optim.Muon for the method.

torch launches some thirty kernels for every weight, each of them too small to fill a GPU or to pay for its
launch; here as many serve all weights of a shape.
"""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor


class BatchedMuon(torch.optim.Muon):
    """Makes the updates of torch.optim.Muon (nesterov, its "original" learning rate), to rounding.

    On a CPU its products are in float32, torch's are in bfloat16.

    Options and state are torch's, so a state of either loads into the other.
    """

    @torch.no_grad()
    def step(self) -> None:
        """Make one step."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._step(group, weights)

    def _step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        for p in weights:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad)
        buffers, grads = [self.state[p]["momentum_buffer"] for p in weights], [p.grad for p in weights]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        updates = torch._foreach_lerp(grads, buffers, group["momentum"])
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        alike = defaultdict(list)
        for p, update in zip(weights, updates, strict=True):
            wide = p.shape[0] <= p.shape[1]
            alike[tuple(sorted(p.shape))].append((p, update if wide else update.T, wide))
        for parts in alike.values():
            orthogonal = orthogonalised(torch.stack([update for _, update, _ in parts]), group)
            for (p, _, wide), update in zip(parts, orthogonal, strict=True):
                rate = group["lr"] * math.sqrt(max(1, p.shape[0] / p.shape[1]))
                p.add_(update if wide else update.T, alpha=-rate)


def product_dtype(x: Tensor) -> torch.dtype:
    """Return what products are taken in: bfloat16 on a GPU; many CPUs have no fast one."""
    return x.dtype if x.device.type == "cpu" else torch.bfloat16


def orthogonalised(x: Tensor, group: dict[str, Any]) -> Tensor:
    """Move the singular values of matrices (N, rows, columns), rows <= columns, near 1."""
    a, b, c = group["ns_coefficients"]
    x = x.to(product_dtype(x))
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
