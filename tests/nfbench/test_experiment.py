"""Reading experiment files: base and extends, the rows that are asked for, and one sentence for mistakes."""

from pathlib import Path

import pytest
import yaml

from nfbench.config import Experiment, SamplerRow
from nfbench.errors import UserError
from nfbench.experiment import load_experiment, load_joined, merged, numbers, read_yaml

CONFIG = Path(__file__).resolve().parents[2] / "config"
TINY = yaml.safe_load((CONFIG / "tiny.yaml").read_text())
TINY["reverses"]["biflow"]["checkpoints"] = []
TINY["flows"]["flow-longer"] = {"extends": "flow", "training": {"steps": 120}}
FILES = [path for path in sorted(CONFIG.glob("*.yaml")) if path.stem not in ("tables", "claims")]
OWN = '''
class Noisy:
    """Samples of one's own."""

    output = "noisy"

    def __init__(self, flow, *, strength_of_mine=1.0):
        self.flow = flow


class Learned:
    output = "clean"
    draws_from = "reverse"
'''


def tiny(change=None) -> Experiment:
    return load_experiment("tiny.yaml", merged(TINY, change or {}))


def rows(*samplers, **change) -> list[SamplerRow]:
    return tiny({"samplers": list(samplers)} | change).samplers


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a file of samplers of one's own, worked in."""
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_file_of_the_repository_is_right_and_survives_being_written(path):
    experiment = load_experiment(path)
    assert experiment.experiment == path.stem
    plain = experiment.model_dump(mode="json")
    assert Experiment.model_validate(yaml.safe_load(yaml.safe_dump(plain))) == experiment
    assert all(experiment.row(row.name) is row for row in experiment.samplers)  # names are unique
    assert set(experiment.joined) <= {path.stem for path in FILES}


# Mistakes. The table of keys that do not fit within a reverse is in test_config.py.

RANDOM = {"extends": "flow", "training": {"steps": 0}}
ONE = {"x": {"type": "jacobi"}}


def sampler(**keys):
    return {"samplers": ["real", {"x": keys}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # keys
        ({"sedes": [0]}, "unknown key 'sedes'; did you mean 'seeds'?"),
        ({"flows": {"flow": {"sgima": 0.1}}}, "unknown key 'sgima' in 'flows.flow'; did you mean 'sigma'?"),
        (
            {"flows": {"flow": {"training": {"optimiser": "adamw"}}}},
            "unknown key 'optimiser' in 'flows.flow.training'; did you mean 'optimizer'?",
        ),
        ({"editing": {"n_image": 3}}, "unknown key 'n_image' in 'editing'; did you mean 'n_images'?"),
        # words and numbers
        ({"data": {"name": "fashion41"}}, "'data.name' is 'fashion41'; did you mean 'fashion14'?"),
        ({"data": {"name": "mnist"}}, "'data.name' is 'mnist'; known: fashion14, digits, fashion."),
        (
            {"quality": {"spaces": ["inceptoin"]}},
            "is 'inceptoin'; did you mean 'inception'?",
        ),
        ({"device": "gpu"}, "'device' is 'gpu'"),
        ({"flows": {"flow": {"blocks": True}}}, "'flows.flow.blocks' is True: a number is needed, not yes"),
        ({"flows": {"flow": {"blocks": 2.5}}}, "'flows.flow.blocks' is 2.5: input should be a valid integer"),
        ({"flows": {"flow": {"sigma": -1}}}, "'flows.flow.sigma' is -1: input should be greater than 0"),
        ({"flows": {"flow": 3}}, "'flows.flow' is 3"),
        ({"flows": None}, "'flows' is None"),
        ({"seeds": []}, "'seeds' is []: list should have at least 1 item"),
        ({"seeds": [0, 0]}, "'seeds' is [0, 0]: every item may be there once only"),
        ({"sampling": {"guidance": True}}, "'sampling.guidance' is True: a number is needed"),
        (
            {"speed": {"replicate": "sequentail"}},
            "which is not timed; did you mean 'sequential'?",
        ),
        ({"device": "cpu", "speed": {"precisions": ["tf32"]}}, "has 'tf32', which a GPU alone has"),
        ({"experiment": "other"}, "'experiment' is 'other'; leave it out"),
        # flows and reverses
        ({"flows": {"x": {"extends": "flwo"}}}, "'flows.x' extends 'flwo'; did you mean 'flow'?"),
        ({"flows": {"x": {"extends": "y"}, "y": {"extends": "x"}}}, "extends itself by way of"),
        ({"flows": {"a b": {"extends": "flow"}}}, "'flows.a b': a name may have letters, digits"),
        ({"flows": {"flow": {"head_dim": 12}}}, "'flows.flow.head_dim' 12 does not divide 'width' 32"),
        ({"flows": {"flow": {"shape": [1, 8, 8]}}}, "'flows.flow.shape' is for steps: 0"),
        ({"flows": {"x": RANDOM | {"shape": [1, 8, 6]}}}, "'flows.x.shape' is not of a square image"),
        ({"flows": {"flow": {"n_classes": 3}}}, "'flows.flow.n_classes' goes with 'shape'"),
        ({"flows": {"flow": {"checkpoints": [60]}}}, "'flows.flow.checkpoints' has 60, and training ends"),
        (
            {"reverses": {"biflow": {"flow": "flwo"}}},
            "biflow.flow' is 'flwo'; did you mean 'flow'?",
        ),
        ({"reverses": {"biflow": {"objective": "aligment"}}}, "did you mean 'alignment'?"),
        ({"reverses": {"biflow": {"guidance_prob": 0.5}}}, "'reverses.biflow': 'guidance_prob' and"),
        # samplers
        ({"samplers": ["sequental"]}, "sampler 'sequental': There is no sampler 'sequental'; did you mean"),
        ({"samplers": ["biflow-hidden"]}, "sampler 'biflow-hidden' needs a learned reverse"),
        ({"samplers": ["real", "real"]}, "sampler 'real' is listed twice"),
        ({"samplers": [{}]}, "an item of 'samplers' is empty"),
        ({"samplers": [3]}, "'samplers.0' is 3: input should be a valid string"),
        ({"samplers": []}, "'samplers' is []"),
        ({"samplers": [ONE | {"y": None}]}, "sampler 'x': an item has one name with its keys below it"),
        ({"samplers": [{"x@": {"type": "real"}}, {"x y": {"type": "real"}}]}, "'x y': a name may have"),
        (sampler(type="jacobi", tolerence=0.1), "'jacobi' has no option 'tolerence'; did you mean"),
        (sampler(type="jacobi", tolerance=-1), "the option 'tolerance' of 'jacobi' is -1: input should be"),
        (sampler(type="jacobi", max_iterations=True), "'max_iterations' of 'jacobi' is True: a number"),
        (sampler(type="jacobi", strength=0.5), "'strength' is an option of denoising; draw from 'jacobi"),
        (sampler(type="jacobi", tolerance=[]), "sampler 'x' sweeps over an empty list"),
        (sampler(type="jacobi", guidance=[0, 0]), "two samplers are called 'x@guidance=0.0'"),
        (sampler(type="jacobi", guidance=-1), "'guidance' is -1: input should be greater than or equal to 0"),
        (sampler(type="jacobi", flow="flo"), "sampler 'x' inverts the flow 'flo'; did you mean 'flow'?"),
        (sampler(type="jacobi", reverse="biflow"), "sampler 'x' has both 'type' and 'reverse'"),
        (sampler(reverse="biflow", flow="flow"), "its own flow; leave 'flow' out"),
        (sampler(reverse="bflow"), "draws from the reverse 'bflow'; did you mean 'biflow'?"),
        (sampler(extends="y"), "'samplers.x' extends 'y'; known: real, x."),
        (sampler(extends="x"), "extends itself by way of 'x'"),
        (sampler(type="nowhere.py:Mine"), "There is no file nowhere.py"),
        ({"samplers": ["biflow+denoise"]}, "sampler 'biflow+denoise' has clean images"),
        ({"samplers": [{"real": {"denoise": True}}]}, "sampler 'real' has clean images, or real ones"),
        (sampler(reverse="biflow", guidance=1), "guided by 1, and its model is trained with at most 0"),
        (
            sampler(reverse="biflow", guidance=1, evaluations=2)
            | {"reverses": {"biflow": {"class_dropout_prob": 0}}},
            "set 'class_dropout_prob' of 'biflow' above 0",
        ),
        (
            {"samplers": ["f"], "reverses": {"f": {"objective": "farmer", "training": {"steps": 1}}}}
            | {"sampling": {"guidance": 1.0}},
            "sampler 'f' cannot be guided",
        ),
        ({"base": "nowhere"}, "There is no file nowhere.yaml"),
        ({"base": "tiny"}, "'base' comes back to 'tiny'"),
    ],
    ids=str,
)
def test_a_bad_experiment_file_is_refused_in_one_sentence(change, words):
    with pytest.raises(UserError) as caught:
        tiny(change)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named():
    values = merged(TINY, {})
    del values["flows"]["flow"]["width"]
    with pytest.raises(UserError, match=r"^tiny.yaml: the key 'width' is missing in 'flows.flow"):
        load_experiment("tiny.yaml", values)


def test_a_name_that_is_a_folder_of_the_results_is_refused():
    with pytest.raises(UserError, match="'reference' is a folder of the results"):
        load_experiment("reference.yaml", TINY | {"experiment": "reference"})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no file"),
        (b"\x89PNG\xff", "cannot be read"),
        (b"seeds: [0", "is no valid YAML"),
        (b"", "must hold keys and values"),
    ],
)
def test_missing_unreadable_broken_and_empty_files_are_told(tmp_path, content, words):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_yaml(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path)


# What an experiment takes from others.


def test_a_base_gives_what_is_not_written_and_nested_keys_are_merged(tmp_path):
    (tmp_path / "below.yaml").write_text(yaml.safe_dump(TINY | {"experiment": "below"}))
    (tmp_path / "middle.yaml").write_text(
        "base: below\nflows: {flow: {training: {steps: 70}}}\nediting: null\n"
    )
    top = tmp_path / "top.yaml"
    top.write_text("base: middle\nseeds: [3]\nsamplers: [real]\nflows: {flow: {sigma: 0.3}}\n")
    experiment, plain = load_experiment(top), tiny()
    flow, before = experiment.flows["flow"], plain.flows["flow"]
    assert experiment.experiment == "top"  # after its file, though `below` has a name of its own
    assert (flow.sigma, flow.training.steps, flow.training.batch_size) == (0.3, 70, 32)
    assert flow.width == before.width
    assert (experiment.seeds, experiment.editing) == ([3], None)
    assert [row.name for row in experiment.samplers] == ["real"]  # lists are replaced whole
    assert experiment.flows["flow-longer"].sigma == 0.3  # extends the changed flow
    (tmp_path / "below.yaml").write_text("base: top\n")
    with pytest.raises(UserError, match=r"below\.yaml: 'base' comes back to 'top'"):
        load_experiment(top)


def test_extends_copies_another_entry_and_changes_nested_keys():
    change = {"reverses": {"noisy": {"extends": "biflow", "denoising": "none", "training": {"steps": 5}}}}
    reverses = tiny(change).reverses
    assert reverses["noisy"].training == reverses["biflow"].training.model_copy(update={"steps": 5})
    assert (reverses["noisy"].output, reverses["noisy"].width) == ("noisy", 32)
    first, second = rows(
        {"a": {"type": "jacobi", "tolerance": 0.1, "title": "A"}}, {"b": {"extends": "a", "denoise": True}}
    )
    assert second.options == first.options == {"tolerance": 0.1}
    assert (second.title, second.denoise, first.denoise) == ("A", True, False)


def test_merging_changes_none_of_its_arguments():
    below, above = {"a": {"b": [1]}}, {"a": {"c": [2]}}
    result = merged(below, above)
    result["a"]["b"].append(3)
    result["a"]["c"].append(3)
    assert (below, above) == ({"a": {"b": [1]}}, {"a": {"c": [2]}})


def test_experiments_are_joined_with_their_own_first(tmp_path):
    values = TINY | {"experiments": ["fashion14", "tiny"]}
    joined = load_joined(Path("tiny.yaml"), values, CONFIG)
    assert list(joined) == ["tiny", "fashion14"]
    with pytest.raises(UserError, match="'experiments' must contain 'tiny'"):
        load_joined(Path("tiny.yaml"), TINY | {"experiments": ["fashion14"]}, CONFIG)
    assert numbers({"seeds": ["0", 1, "x"]}) == {"seeds": [0, 1, "x"]}


# Rows.


def test_a_plain_name_is_a_type_or_a_reverse_and_may_end_in_denoise():
    real, noise, exact, clean, learned = rows(
        "real", "real+noise", "sequential", "sequential-static+denoise", "biflow"
    )
    assert (real.type, real.flow, real.output, real.draws, real.speed) == (
        "real",
        None,
        "clean",
        False,
        False,
    )
    assert (noise.flow, noise.output, noise.draws) == ("flow", "noisy", False)
    assert (exact.type, exact.flow, exact.exact, exact.output) == ("sequential", "flow", True, "noisy")
    assert (clean.type, clean.denoise, clean.output) == ("sequential-static", True, "clean")
    assert (learned.type, learned.reverse, learned.flow, learned.learned) == (
        "biflow",
        "biflow",
        "flow",
        True,
    )
    assert all(row.name == row.group for row in (real, noise, exact, clean, learned))


def test_a_reverse_may_be_called_anything():
    change = {
        "mine": {"extends": "biflow", "objective": "hidden", "flow": "flow-longer", "denoising": "none"}
    }
    raw, clean = rows("mine", "mine+denoise", reverses=change)
    assert (raw.type, raw.reverse, raw.flow, raw.output) == ("biflow-hidden", "mine", "flow-longer", "noisy")
    assert (clean.reverse, clean.denoise, clean.output) == ("mine", True, "clean")


def test_lists_of_options_and_scales_make_sweeps():
    swept = rows({"j": {"type": "jacobi", "tolerance": [0.1, 0.01], "guidance": [0, 1.5]}})
    assert [row.name for row in swept] == [
        *("j@guidance=0.0,tolerance=0.1", "j@guidance=0.0,tolerance=0.01"),
        *("j@guidance=1.5,tolerance=0.1", "j@guidance=1.5,tolerance=0.01"),
    ]
    assert [(row.guidance, row.options) for row in swept[1:3]] == [
        *((0.0, {"tolerance": 0.01}), (1.5, {"tolerance": 0.1}))
    ]
    assert {row.group for row in swept} == {"j"}


def test_the_experiment_s_guidance_is_that_of_all_that_is_drawn():
    change = {"sampling": {"guidance": 0.5}, "reverses": {"biflow": {"guidance_max": 1.0}}}
    real, exact, learned, plain = rows("real", "sequential", "biflow", {"jacobi": {"guidance": 0}}, **change)
    assert [row.guidance for row in (real, exact, learned, plain)] == [0.0, 0.5, 0.5, 0.0]


def test_two_evaluations_may_guide_beyond_what_a_model_is_trained_for():
    (row,) = rows({"two": {"reverse": "biflow", "evaluations": 2, "guidance": 3}})
    assert (row.guidance, row.options) == (3.0, {"evaluations": 2})


def test_checkpoints_make_a_row_a_step_before_the_final_one_and_are_not_timed():
    change = {"flows": {"flow": {"checkpoints": [20, 40]}}, "reverses": {"biflow": {"checkpoints": [30]}}}
    found = rows("real", "sequential", "biflow", **change)
    assert [(row.name, row.step, row.speed) for row in found] == [
        ("real", None, False),
        ("sequential@step=20", 20, False),
        ("sequential@step=40", 40, False),
        ("sequential", None, True),
        ("biflow@step=30", 30, False),
        ("biflow", None, True),
    ]
    assert {row.group for row in found[1:4]} == {"sequential"}


def test_random_weights_have_no_quality_and_sections_left_out_are_not_measured():
    change = {"flows": {"flow": {"training": {"steps": 0}}}}
    real, exact, learned = rows("real", "sequential", "biflow", **change)
    assert [row.quality for row in (real, exact, learned)] == [True, False, False]
    assert (exact.speed, learned.speed) == (True, True)
    assert not any(row.quality for row in rows("real", "sequential", quality=None))
    assert not any(row.speed for row in rows("sequential", speed=None))
    (row,) = rows({"jacobi": {"speed": False, "quality": False}})
    assert (row.speed, row.quality) == (False, False)


# What images are compared with.


def truth_of(name: str, *samplers, **change) -> str | None:
    experiment = tiny({"samplers": list(samplers)} | change)
    found = experiment.truth_of(experiment.row(name))
    return found and found.name


EXACT = ["sequential", "sequential+denoise"]
SCALES = {"guidance": [0, 1]}


@pytest.mark.parametrize(
    ("name", "samplers", "expected"),
    [
        ("jacobi", [*EXACT, "jacobi"], "sequential"),
        ("jacobi+denoise", [*EXACT, "jacobi+denoise"], "sequential+denoise"),
        ("biflow", [*EXACT, "biflow"], "sequential+denoise"),
        ("biflow", ["sequential", "biflow"], None),
        ("sequential-static", [*EXACT, "sequential-static"], "sequential"),
        ("real", [*EXACT, "real"], None),
        ("real+noise", [*EXACT, "real+noise"], None),
        ("x", [*EXACT, {"x": {"type": "jacobi", "flow": "flow-longer"}}], None),
        ("x", [*EXACT, {"x": {"type": "jacobi", "guidance": 1}}], None),
        (
            "x@guidance=1.0",
            [
                {"s": {"type": "sequential", "guidance": [0, 1]}},
                {"x": {"type": "jacobi", "guidance": [0, 1]}},
            ],
            "s@guidance=1.0",
        ),
        ("jacobi", [{"sequential": {"quality": False}}, "jacobi"], None),
    ],
    ids=str,
)
def test_the_truth_inverts_the_same_flow_at_the_same_scale_with_images_of_the_same_kind(
    name, samplers, expected
):
    assert truth_of(name, *samplers) == expected


@pytest.mark.parametrize(("denoise", "expected"), [(False, "sequential"), (True, "sequential+denoise")])
def test_a_noisy_sampler_of_one_s_own_is_compared_with_the_noisy_inverse(own, denoise, expected):
    mine = {"mine": {"type": "own.py:Noisy", "denoise": denoise, "strength_of_mine": 0.3}}
    (row,) = rows(mine)
    assert (row.type, row.output, row.options) == (
        *("own.py:Noisy", "clean" if denoise else "noisy"),
        {"strength_of_mine": 0.3},
    )
    assert truth_of("mine", *EXACT[::-1], mine) == expected


def test_a_learned_sampler_of_one_s_own_names_its_reverse(own):
    (row,) = rows({"mine": {"type": "own.py:Learned", "reverse": "biflow", "guidance": 2}})
    assert (row.type, row.reverse, row.flow, row.learned) == ("own.py:Learned", "biflow", "flow", True)
    with pytest.raises(UserError, match="sampler 'mine' needs a learned reverse"):
        rows({"mine": {"type": "own.py:Learned"}})
    with pytest.raises(UserError, match="sampler 'mine' draws from a flow; leave 'reverse' out"):
        rows({"mine": {"type": "own.py:Noisy", "reverse": "biflow"}})


def test_the_truth_of_a_checkpoint_is_of_the_same_weights():
    samplers = [*EXACT, "jacobi", "biflow"]
    change = {"flows": {"flow": {"checkpoints": [20]}}, "reverses": {"biflow": {"checkpoints": [30]}}}
    assert truth_of("jacobi", *samplers, **change) == "sequential"
    assert truth_of("jacobi@step=20", *samplers, **change) == "sequential@step=20"
    for name in ("biflow", "biflow@step=30"):  # learned from the flow's final weights
        assert truth_of(name, *samplers, **change) == "sequential+denoise"
