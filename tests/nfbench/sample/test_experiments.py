"""What is read of experiment files, right and wrong ones."""

from pathlib import Path

import pytest
import yaml

from nfbench.errors import UserError
from nfbench.sample.experiments import load_experiments
from nfbench.sample.vocabulary import read_vocabulary

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "config"
TINY = yaml.safe_load((CONFIG / "tiny.yaml").read_text())
BIFLOW = TINY["reverse"]["biflow"]
NOISY = {"denoising": "none"}
ONE_IMAGE = BIFLOW["training"] | {"batch_size": 1}


@pytest.fixture(scope="module")
def vocabulary():
    return read_vocabulary(ROOT)


def loaded(values, vocabulary, path="tiny.yaml"):
    return load_experiments(values, [path], CONFIG, vocabulary)


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_file_of_the_repository_is_right(path, vocabulary):
    values = yaml.safe_load(path.read_text())
    if "data" in values:  # claims and ablations are no experiments, and timing random weights takes no data
        assert path.stem in loaded(values, vocabulary, path)


def test_ablations_bring_models_and_flows_of_their_own(vocabulary):
    values = TINY | {"ablations": ["noisy+denoise", "unclipped", "two-evaluations"]}
    tiny = loaded(values, vocabulary)["tiny"]
    assert set(tiny["reverse"]) == {"biflow", "biflow@noisy", "biflow@unclipped"}
    assert tiny["reverse"]["biflow@noisy"]["denoising"] == "none"
    assert tiny["flows"]["forward@unclipped"]["clip"] is None
    assert tiny["flows"]["forward"]["clip"] == TINY["forward"]["clip"]


def test_the_order_of_keys_changes_nothing(vocabulary):
    turned = dict(reversed(TINY.items())) | {"forward": dict(reversed(TINY["forward"].items()))}
    assert list(loaded(turned, vocabulary)["tiny"]["forward"]) == list(
        loaded(TINY, vocabulary)["tiny"]["forward"]
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sedes": [0]}, "unknown key 'sedes'; did you mean 'seeds'?"),
        ({"sampling": {"samplers": ["sequental"], "n_samples": 10}}, "did you mean 'sequential'?"),
        ({"data": {"name": "fashion41", "validation_size": 10}}, "did you mean 'fashion14'?"),
        ({"reverse": {}}, "sampler 'biflow' needs the section 'reverse.biflow'"),
        (
            {"sampling": {"samplers": ["farmer+denoise"], "n_samples": 10}},
            "sampler 'farmer+denoise' needs the section 'reverse.farmer'",
        ),
        ({"experiments": ["digits"]}, "'experiments' must contain 'tiny'"),
        ({"experiments": ["tiny", "nowhere"]}, "There is no experiment file"),
        ({"experiment": "fashion14"}, "'experiment' is 'fashion14'; it must be the name of the file"),
        (
            {"forward": TINY["forward"] | {"head_dim": 20}},
            "'head_dim' 20 does not divide 'width' 32 in 'forward'",
        ),
        (
            {"sampling": {"samplers": ["biflow"], "n_samples": 10, "guidance": 1.0}},
            "'biflow' is trained without guidance",
        ),
        (
            {"sampling": {"samplers": ["sequential"], "n_samples": 10}},
            "'speed.front' needs an iterative inverse",
        ),
        (
            {"reverse": {"biflow": BIFLOW | {"denoising": "none"}}},
            "sampler 'biflow' is one of clean images",
        ),
        (
            {"reverse": {"biflow": BIFLOW | {"denoising": "none", "perceptual": {"classifier": 0.4}}}},
            "'reverse.biflow.perceptual' compares clean images",
        ),
        (
            {"budget": {"forward_steps": [80], "arms": {"floor": {"method": "biflow"}}}},
            "'budget.arms.floor' has the name of what it is compared with",
        ),
        (
            {"budget": {"forward_steps": [80], "arms": {"forward-80": {"method": "biflow"}}}},
            "'budget.arms.forward-80' has the name of what it is compared with",
        ),
        (
            {"budget": {"forward_steps": [80], "arms": {"plain": {"method": "biflow-plain"}}}},
            "'budget.arms.plain' needs the section 'reverse.biflow-plain'",
        ),
        (
            {"budget": {"forward_steps": [60, 80], "arms": {"plain": {"method": "biflow"}}}},
            "'budget.forward_steps' has 60, and the flow of the curves itself takes 60 steps",
        ),
        (
            {
                "reverse": {"biflow": BIFLOW, "farmer": {"training": BIFLOW["training"]}},
                "budget": {"forward_steps": [80], "arms": {"student": {"method": "farmer"}}},
            },
            "'budget.arms.student' is of farmer, whose images are noisy",
        ),
        (
            {
                "budget": {
                    "forward_steps": [80],
                    "arms": {"odd": {"method": "biflow", "change": {"width": 50}}},
                }
            },
            "curve 'odd': 'head_dim' 16 does not divide 'width' 50 in 'reverse.biflow'",
        ),
        (
            {"budget": {"forward_steps": [80], "arms": {"odd": {"method": "biflow", "change": NOISY}}}},
            "curve 'odd': curves are of clean images",
        ),
        (
            {"reverse": {"biflow": BIFLOW | {"conditioning": "extrapolated"}}},
            "'conditioning: extrapolated' in 'reverse.biflow' does nothing without guidance",
        ),
        (
            {"reverse": {"biflow": BIFLOW | {"guidance_share": 0.5, "guidance_max": 0}}},
            "'guidance_share: 0.5' in 'reverse.biflow' does nothing without guidance",
        ),
        (
            {
                "reverse": {"biflow": BIFLOW | {"perceptual": {"classifier": 0.4}}},
                "ablations": ["noisy"],
            },
            "ablation 'noisy': 'reverse.biflow.perceptual' compares clean images",
        ),
        (
            {"reverse": {"biflow": BIFLOW | {"denoising": "none", "energy": {"classifier": 30.0}}}},
            "'reverse.biflow.energy' compares clean images",
        ),
        (
            {"reverse": {"biflow": BIFLOW | {"training": ONE_IMAGE, "energy": {"classifier": 30.0}}}},
            "set 'reverse.biflow.training.batch_size' to 2 or more",
        ),
        (
            {
                "reverse": {"biflow": BIFLOW | {"guidance_max": 1.5}},
                "sampling": {"samplers": ["biflow"], "n_samples": 10, "guidance": 2.0},
            },
            "'biflow' is trained with guidance up to 1.5; set 'sampling.guidance' to 1.5, or 'sampling.",
        ),
        (
            {"reverse": {"biflow": BIFLOW, "biflow-naive": BIFLOW | {"guidance_max": 1.0}}},
            "training-time guidance is defined for hidden alignment; set 'reverse.biflow-naive.guidance_max'",
        ),
        (
            {"reverse": {"biflow": BIFLOW | {"guidance_max": 1.0, "label_drop": 0}}},
            "set 'reverse.biflow.label_drop' above 0",
        ),
        (
            {
                "reverse": {"biflow": BIFLOW | {"guidance_max": 1.0, "denoising": "none"}},
                "sampling": {"samplers": ["jacobi"], "n_samples": 10},
                "guidance": {},
            },
            "the section 'guidance' compares clean images",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_bad_experiment_file_is_refused_in_one_sentence(change, sentence, vocabulary):
    with pytest.raises(UserError) as caught:
        loaded(TINY | change, vocabulary)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
