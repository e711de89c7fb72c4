"""What BiFlow is compared with: TARFlow, its inverses that need no training, and FARMER's student of it.

Importing this package registers its samplers.
"""

from typing import Any

from baselines.farmer import Farmer, FarmerStudent, denoised_farmer, load_student, save_student
from baselines.tarflow.checkpoint import as_flow, load_flow, save_flow
from baselines.tarflow.denoise import Denoised
from baselines.tarflow.gs_jacobi import GSJacobi
from baselines.tarflow.jacobi import Jacobi
from baselines.tarflow.model import Code, TarFlow, TarFlowSpec
from baselines.tarflow.published import load_published, published_name, save_published
from baselines.tarflow.selective import SelectiveJacobi
from baselines.tarflow.sequential import Sequential
from baselines.tarflow.static import SequentialStatic
from nfbench.sample.sampler import Entry, make_sampler, register, samplers

CLEAN_INVERSE = "sequential-static+denoise"  # what reverses are compared with where one inverse is enough

__all__ = [
    "CLEAN_INVERSE",
    "Code",
    "FarmerStudent",
    "TarFlow",
    "TarFlowSpec",
    "load_flow",
    "load_published",
    "load_student",
    "make_sampler",
    "published_name",
    "samplers",
    "save_flow",
    "save_published",
    "save_student",
]


def demo_flow() -> TarFlow:
    """Return a small flow with random weights, of the default experiment's shape, for timing."""
    return TarFlow(
        TarFlowSpec(
            channels=1,
            image_size=14,
            patch_size=2,
            width=64,
            blocks=4,
            layers_per_block=2,
            head_dim=32,
            n_classes=10,
            clip=3.0,
            sigma=0.2,
        )
    ).eval()


def _register_inverse(
    name: str, sampler: type, summary: str, exact: bool = False, iterative: bool = False
) -> None:
    """Register an inverse of the flow twice: as it is, and denoised afterwards."""

    def build(model: Any, **options: Any) -> Any:
        return sampler(as_flow(model), **options)

    def build_denoised(model: Any, strength: float = 1.0, **options: Any) -> Denoised:
        flow = as_flow(model)
        return Denoised(sampler(flow, **options), flow, strength)

    register(name, Entry(summary, build, demo_flow, exact, False, "noisy", iterative))
    denoised = f"{summary}, then score-based denoising"
    register(f"{name}+denoise", Entry(denoised, build_denoised, demo_flow, exact, False, "clean", iterative))


_register_inverse(
    "sequential", Sequential, "exact inverse, one token at a time, growing cache (as published)", exact=True
)
_register_inverse(
    "sequential-static",
    SequentialStatic,
    "exact inverse, one token at a time, preallocated cache",
    exact=True,
)
_register_inverse("jacobi", Jacobi, "fixed-point inverse, all tokens of a block at once", iterative=True)
_register_inverse(
    "gs-jacobi", GSJacobi, "fixed-point inverse, hard blocks in modules (arXiv:2505.12849)", iterative=True
)
_register_inverse(
    "selective-jacobi",
    SelectiveJacobi,
    "first block one token at a time, the others by fixed point (SeJD, arXiv:2505.24791)",
    iterative=True,
)


def demo_student() -> FarmerStudent:
    """Return a student of `demo_flow`, for timing."""
    return FarmerStudent.of(demo_flow()).eval()


_FARMER = "the flow's weights made bidirectional, one evaluation (FARMER, arXiv:2510.23588)"
register("farmer", Entry(_FARMER, Farmer, demo_student, exact=False, learned=True, output="noisy"))
register(
    "farmer+denoise",
    Entry(
        f"{_FARMER}, then score-based denoising",
        denoised_farmer,
        demo_student,
        exact=False,
        learned=True,
        output="clean",
        demo_flow=demo_flow,
    ),
)
