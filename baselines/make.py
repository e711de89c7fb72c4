"""Building samplers by name: the inverses of a flow, learned reverses, and classes of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfbench.errors import UserError
from nfbench.registry import DENOISED, TYPES, check_options, load_class, sampler_type

if TYPE_CHECKING:
    from torch import nn

    from baselines.tarflow.model import TarFlow
    from nfbench.sample.sampler import Sampler


# Arguments that no experiment file holds: what the plan of GS-Jacobi comes from.
ARGUMENTS = {"gs-jacobi": ("plan", "images")}


def samplers() -> dict[str, str]:
    """Return {name: one line on it} for every sampler that draws; "+denoise" may follow noisy ones."""
    return {name: kind.summary for name, kind in TYPES.items() if kind.draws_from != "data"}


def make_sampler(
    name: str,
    model: "nn.Module | str | Path",
    *,
    flow: "TarFlow | str | Path | None" = None,
    **options: Any,
) -> "Sampler":
    """Build a sampler from its model.

    Args:
        name: a key of `samplers()`, or "FILE.py:Class" of your own; with "+denoise" at its end for the same
            followed by score-based denoising.
        model: the flow, for inverses, or the learned reverse; a network or the path of its checkpoint.
        flow: what a learned reverse's images are denoised with; inverses take their own.
        options: the sampler's own, e.g. annealed=True; with "+denoise" also `strength`, that of denoising.

    Raises:
        UserError: the name or an option is unknown, or a checkpoint is missing, corrupt or of another kind.
    """
    kind = name.removesuffix(DENOISED)
    about = sampler_type(kind)
    if about.draws_from == "data":
        raise UserError(f"'{name}' is images of the data, not a sampler; see nfbench.sample.real_images.")
    options = _checked(kind, name.endswith(DENOISED), options)
    strength = options.pop("strength", 1.0) if name.endswith(DENOISED) else 1.0
    network = model_at(kind, model) if isinstance(model, str | Path) else model
    sampler = load_class(about.target)(network, **options)
    if not name.endswith(DENOISED):
        return sampler
    if getattr(sampler, "output", about.output) == "clean":
        raise UserError(f"The images of '{kind}' are clean already; leave '{DENOISED}' out.")
    return _denoised(name, sampler, network if about.draws_from == "flow" else flow, strength)


def _checked(kind: str, denoised: bool, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a sampler and of denoising, as given, or raise a UserError."""
    arguments = {key: options[key] for key in ARGUMENTS.get(kind, ()) if key in options}
    checked = check_options(kind, {key: options[key] for key in options if key not in arguments}, denoised)
    if checked.get("tolerance") == "tuned":
        raise UserError(
            f"The tolerance of '{kind}' is 'tuned', which only the workflow can find; give a number."
        )
    return checked | arguments


def model_at(name: str, path: str | Path, step: int | None = None) -> "nn.Module":
    """Load the network that a sampler draws from, at an earlier checkpoint where a step is given.

    Args:
        name: as of `make_sampler`, without "+denoise".

    Raises:
        UserError: the file is missing, corrupt, of another kind, or has no weights of that step.
    """
    about = sampler_type(name)
    if about.draws_from == "flow":
        from baselines.tarflow.checkpoint import load_flow

        return load_flow(path, step)
    is_student = name == "farmer"
    if name not in TYPES:  # a class of one's own draws from a reverse of either kind
        from baselines.farmer import KIND
        from nfbench.train.checkpoint import read_meta

        is_student = read_meta(path)["kind"] == KIND
    # By name, since biflow stands above this package.
    load = load_class("baselines.farmer:load_student" if is_student else "biflow.model:load_reverse")
    return load(path, step)


def _denoised(
    name: str, sampler: "Sampler", flow: "TarFlow | str | Path | None", strength: float
) -> "Sampler":
    """Return the sampler with denoising by the score of the flow that it inverts or learned from."""
    from baselines.tarflow.checkpoint import load_flow
    from baselines.tarflow.denoise import Denoised

    if flow is None:
        raise UserError(
            f"'{name}' denoises with the score of the flow that its model learned from; give that flow, or"
            " its checkpoint, as the argument 'flow'."
        )
    flow = load_flow(flow) if isinstance(flow, str | Path) else flow
    shape = (flow.spec.n_tokens, flow.spec.token_dim)
    taught_by = getattr(sampler, "flow_spec", flow.spec)  # of samplers that know the flow they learned from
    if sampler.latent_shape != shape or taught_by != flow.spec:
        raise UserError(
            f"The flow given to '{name}' has another architecture than the one its model learned from; give"
            " that flow."
        )
    return Denoised(sampler, flow, strength)
