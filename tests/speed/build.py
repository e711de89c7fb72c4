"""Building what a process of the speed suite times: a sampler, from checkpoints or with random weights.

A request is a dict: `row` (a `SamplerRow`), the files `model`, `flow`, `plan`, `tolerance` (None for none),
`flow_config`, `reverse_config` and `data` for random weights, `precisions`, `batch_sizes`, `guidance`,
`seconds`, `min_calls`, `device`, `threads`, and whether to measure `costs`.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.make import make_sampler, model_at
from baselines.tarflow.model import TarFlow, TarFlowSpec
from nfbench.config import FlowConfig, ReverseConfig, SamplerRow
from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.errors import UserError
from nfbench.experiment import load_experiment
from nfbench.measure.speed.benchmark import random_subject
from nfbench.registry import DENOISED, TYPES, load_class, sampler_type
from nfbench.sample.sampler import Sampler, options_in_effect

DEFAULT = Path(__file__).resolve().parents[2] / "config/fashion14.yaml"  # architectures timed by hand
SHAPE, N_CLASSES = (1, 14, 14), 10  # of its images


def settings(config: pytest.Config) -> dict[str, Any]:
    """Return the settings of the command line, for runs by hand."""
    return {
        "batch_sizes": config.getoption("--batch-size") or [1, 64],
        "guidance": config.getoption("--guidance") or [0.0],
        "seconds": config.getoption("--seconds"),
        "min_calls": config.getoption("--min-calls"),
        "device": config.getoption("--device"),
        "precisions": config.getoption("--precision"),
        "threads": None,
        "costs": True,
    }


def not_asked_for(config: pytest.Config) -> Any:
    """Return a parameter whose test is skipped in an ordinary run, None where speed is to be measured."""
    if config.getoption("benchmark_only"):
        return None
    reason = "speed is measured with: pytest tests/speed --benchmark-only"
    return pytest.param(None, marks=pytest.mark.skip(reason=reason), id="all")


def requests_by_hand(names: list[str] | None, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return requests for samplers with random weights; by default all inverses and a learned reverse.

    Raises:
        UserError: there is no such sampler, or it draws nothing.
    """
    drawn = [name for name, kind in TYPES.items() if kind.draws_from == "flow"]
    return [_by_hand(name, settings) for name in names or [*drawn, "biflow"]]


def _by_hand(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    kind = sampler_type(name.removesuffix(DENOISED))
    if kind.draws_from == "data":
        raise UserError(f"'{name}' is images of the data, which take no time; name another sampler.")
    models = load_experiment(DEFAULT)
    row = SamplerRow(
        name=name,
        group=name,
        type=name.removesuffix(DENOISED),
        denoise=name.endswith(DENOISED),
        output=kind.output,
        learned=kind.learned,
    )
    flow, reverse = models.flows["flow"], models.reverses["biflow"] if kind.learned else None
    sized = flow.model_copy(update={"shape": SHAPE, "n_classes": N_CLASSES})
    return settings | random_subject(row, sized, reverse)


def build(request: dict[str, Any], device: torch.device, precision: str) -> Sampler:
    """Return the sampler of a request on the device.

    In bf16 it is given its option `precision`; denoising keeps the precision of its weights. TF32 is set for
    the whole process, by `use_arithmetic`.
    """
    row = request["row"]
    options = options_in_effect(row, request["plan"], request["tolerance"])
    if precision == "bf16":
        options = {"precision": "bf16"} | options
    model, flow = models_of(request, device)
    name = row["type"] + (DENOISED if row["denoise"] else "")
    return make_sampler(name, model, flow=flow, **options).to(device)


def use_arithmetic(precision: str) -> None:
    """Let products of float32 be taken in TF32 where that is the precision, else in float32."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


def load_modules(request: dict[str, Any]) -> None:
    """Import what a process needs, so that it is not taken for memory of the sampler."""
    load_class(sampler_type(request["row"]["type"]).target)
    if not request["model"]:
        import biflow.training  # noqa: F401


def takes_precision(name: str) -> bool:
    """Return whether a sampler type has an option `precision`."""
    kind = sampler_type(name)
    return "precision" in (kind.options.model_fields if kind.options else kind.keywords or ())


def models_of(request: dict[str, Any], device: torch.device) -> tuple[nn.Module, Any]:
    """Return the model that a request draws from, and the flow that a learned one is denoised with."""
    row = request["row"]
    if request["model"]:
        return model_at(row["type"], request["model"], row["step"]), request["flow"]
    from biflow.sizes import random_network

    flow = random_network(random_flow_spec(request), device)
    if not row["learned"]:
        return flow, None
    return random_reverse(ReverseConfig.model_validate(request["reverse_config"]), flow, device), flow


def random_flow_spec(request: dict[str, Any]) -> TarFlowSpec:
    """Return the architecture of a request's flow, sized by its own shape or by the data set."""
    from baselines.tarflow.training import flow_spec, spec_for

    config = FlowConfig.model_validate(request["flow_config"])
    if config.shape:
        return spec_for(config, config.shape[0], config.shape[1], config.n_classes)
    from nfbench.data.datasets import load_section

    return flow_spec(config, load_section(request["data"]))


def random_reverse(config: ReverseConfig, flow: TarFlow, device: torch.device) -> nn.Module:
    """Return a learned reverse with random weights."""
    from baselines.farmer import FarmerStudent
    from biflow.sizes import random_network
    from biflow.training import reverse_spec

    if config.objective == "farmer":
        return FarmerStudent.of(flow, config.normalisation).eval().requires_grad_(False)
    return random_network(reverse_spec(config, flow.spec), device)


def inputs_of(sampler: Sampler, batch_size: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Return noise (B, T, D) and classes (B,), the latter None for an unconditional model."""
    z = latent_noise(0, range(batch_size), sampler.latent_shape).float().to(device)
    n_classes = sampler.n_classes
    return z, None if n_classes is None else balanced_labels(range(batch_size), n_classes).to(device)
