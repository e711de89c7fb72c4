"""Experiment files: one sentence for every mistake, and schema and dataclasses that agree."""

import dataclasses
import typing
from pathlib import Path

import pytest
import yaml

from nfbench import config
from nfbench.config import ExperimentConfig, build, check, read_experiment
from nfbench.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
TIMING_SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/paper_speed.schema.yaml").read_text())
TIMING_FILES = sorted((ROOT / "config").glob("paper-speed*.yaml"))
OTHERS = {ROOT / f"config/{name}.yaml" for name in ("ablations", "claims")}  # no experiments
FILES = sorted({*(ROOT / "config").glob("*.yaml")} - OTHERS - {*TIMING_FILES})
SECTIONS = {
    "data": config.DataConfig,
    "forward": config.ForwardConfig,
    "sampling": config.SamplingConfig,
    "quality": config.QualityConfig,
    "likelihood": config.LikelihoodConfig,
    "guidance": config.GuidanceConfig,
    "speed": config.SpeedConfig,
    "editing": config.EditingConfig,
}


@pytest.fixture
def values():
    return yaml.safe_load((ROOT / "config/tiny.yaml").read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_file_is_valid_and_named_after_its_experiment(path):
    values = read_experiment(path, SCHEMA)
    built = build(ExperimentConfig, values)
    assert built.experiment == path.stem
    assert built.forward.training.steps == values["forward"]["training"]["steps"]


@pytest.mark.parametrize("path", TIMING_FILES, ids=lambda path: path.stem)
def test_every_timing_file_is_valid_and_named_after_its_experiment(path):
    built = build(config.PaperSpeedConfig, read_experiment(path, TIMING_SCHEMA))
    assert built.experiment == path.stem


@pytest.mark.parametrize(
    ("node", "cls"),
    [
        (TIMING_SCHEMA, config.PaperSpeedConfig),
        (TIMING_SCHEMA["properties"]["narrow"], config.NarrowConfig),
    ],
)
def test_timing_schema_and_dataclass_have_the_same_keys_and_required_ones(node, cls):
    assert set(node["properties"]) == set(typing.get_type_hints(cls))
    assert set(node["required"]) == config.required_keys(cls)
    assert all("description" in key for key in node["properties"].values())


def test_the_timing_schema_s_sizes_are_the_presets():
    from biflow.presets import PRESETS

    assert TIMING_SCHEMA["properties"]["sizes"]["items"]["enum"] == list(PRESETS)


def schema_of(*path):
    node = SCHEMA
    for key in path:
        node = node["properties"][key]
        if "$ref" in node:
            node = SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


@pytest.mark.parametrize(
    ("path", "cls"),
    [
        ((), ExperimentConfig),
        *(((name,), cls) for name, cls in SECTIONS.items()),
        (("quality", "classifier"), config.ClassifierConfig),
        (("forward", "training"), config.TrainingConfig),
        (("reverse", "biflow"), config.ReverseConfig),
        (("reverse", "farmer"), config.StudentConfig),
        (("sampling", "tuning"), config.TuningConfig),
        (("speed", "front"), config.FrontConfig),
    ],
    ids=str,
)
def test_schema_and_dataclass_have_the_same_keys_and_required_ones(path, cls):
    node = schema_of(*path)
    assert set(node["properties"]) == set(typing.get_type_hints(cls))
    assert set(node.get("required", [])) == config.required_keys(cls)


def described(node):
    for name, child in node.get("properties", {}).items():
        yield name, "description" in child or "$ref" in child
        yield from described(child)


def test_every_key_is_described():
    nodes = [SCHEMA, *SCHEMA["$defs"].values()]
    assert [name for node in nodes for name, told in described(node) if not told] == []


def test_the_schema_s_samplers_and_data_sets_are_those_that_exist():
    import biflow  # noqa: F401 - registers the learned samplers
    from baselines import samplers
    from nfbench.data.datasets import datasets
    from nfbench.measure.features import spaces
    from nfbench.sample.contestant import contestant
    from nfbench.sample.sampler import entry

    allowed = schema_of("sampling", "samplers")["items"]["enum"]
    assert {contestant(name).sampler for name in allowed} == set(samplers())
    iterative = {name for name in samplers() if entry(name).iterative}
    assert {contestant(name).sampler for name in allowed if contestant(name).variant} == iterative
    learned = {contestant(name).method for name in samplers() if entry(name).learned}
    assert set(schema_of("reverse")["properties"]) == learned
    assert set(schema_of("data", "name")["enum"]) == set(datasets())
    assert set(schema_of("quality", "spaces")["items"]["enum"]) == set(spaces())


def test_the_schema_s_options_of_a_reverse_model_are_those_that_it_takes():
    from baselines import farmer
    from biflow import model
    from biflow.perceptual import PERCEPTUAL

    options = schema_of("reverse", "biflow")["properties"]
    assert options["normalisation"]["enum"] == list(typing.get_args(model.Normalisation))
    assert options["denoising"]["enum"] == list(typing.get_args(model.Denoising))
    assert list(options["perceptual"]["properties"]) == list(PERCEPTUAL)
    assert list(options["energy"]["properties"]) == list(PERCEPTUAL)
    assert options["conditioning"]["enum"] == list(typing.get_args(model.Conditioning))
    student = schema_of("reverse", "farmer")["properties"]
    assert student["normalisation"]["enum"] == list(typing.get_args(farmer.Normalisation))


def change(values, path, value):
    *parents, last = path.split(".")
    for key in parents:
        values = values[key]
    values[last] = value


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("sedes", [0], "x.yaml: unknown key 'sedes'; did you mean 'seeds'?"),
        ("forward.sgima", 0.1, "x.yaml: unknown key 'sgima' in 'forward'; did you mean 'sigma'?"),
        (
            "forward.training.optimiser",
            "adamw",
            "x.yaml: unknown key 'optimiser' in 'forward.training'; did you mean 'optimizer'?",
        ),
        (
            "sampling.samplers",
            ["sequental"],
            "x.yaml: 'sampling.samplers.0' is 'sequental'; did you mean 'sequential'?",
        ),
        ("data.name", "mnist", "x.yaml: 'data.name' is 'mnist'; known: fashion14, fashion, digits."),
        (
            "reverse.biflow.normalisation",
            "tokens",
            "x.yaml: 'reverse.biflow.normalisation' is 'tokens'; did you mean 'token'?",
        ),
        (
            "reverse.biflow.denoising",
            "score",
            "x.yaml: 'reverse.biflow.denoising' is 'score'; known: learned, none.",
        ),
        (
            "reverse.biflow.adaptive_weight",
            0.5,
            "x.yaml: 'reverse.biflow.adaptive_weight' is not allowed: 0.5 is not of type 'boolean'.",
        ),
        (
            "reverse.biflow.perceptual",
            {"lpips": 0.4},
            "x.yaml: unknown key 'lpips' in 'reverse.biflow.perceptual'; did you mean 'lpips-vgg'?",
        ),
        (
            "reverse.biflow.perceptual",
            {"effnet": 0},
            "x.yaml: 'reverse.biflow.perceptual.effnet' is not allowed:"
            " 0 is less than or equal to the minimum of 0.",
        ),
        (
            "reverse.biflow-naiv",
            {},
            "x.yaml: unknown key 'biflow-naiv' in 'reverse'; did you mean 'biflow-naive'?",
        ),
        ("editing.n_image", 40, "x.yaml: unknown key 'n_image' in 'editing'; did you mean 'n_images'?"),
        (
            "reverse.farmer",
            {"training": {}, "width": 32},
            "x.yaml: unknown key 'width' in 'reverse.farmer'; known: label_drop, normalisation, training.",
        ),
        ("seeds", [], "x.yaml: 'seeds' is not allowed: [] should be non-empty."),
        (
            "forward.sigma",
            "0.1",
            "x.yaml: 'forward.sigma' is not allowed: '0.1' is not of type 'number'.",
        ),
    ],
)
def test_a_mistake_is_told_in_one_sentence_with_its_place(values, path, value, sentence):
    change(values, path, value)
    with pytest.raises(UserError) as caught:
        check(values, SCHEMA, "x.yaml")
    assert str(caught.value) == sentence


def test_a_learned_reverse_is_built_as_its_keys_say(values):
    training = values["reverse"]["biflow"]["training"]
    values["reverse"]["farmer"] = {"training": training, "normalisation": "token"}
    check(values, SCHEMA, "x.yaml")
    reverse = build(ExperimentConfig, values).reverse
    assert isinstance(reverse["biflow"], config.ReverseConfig)
    expected = config.StudentConfig(build(config.TrainingConfig, training), normalisation="token")
    assert reverse["farmer"] == expected


def test_a_missing_key_is_named(values):
    del values["forward"]["sigma"]
    with pytest.raises(UserError, match=r"^x.yaml: the key 'sigma' is missing in 'forward'; add it\.$"):
        check(values, SCHEMA, "x.yaml")


def test_missing_unreadable_broken_and_empty_files_are_told(tmp_path):
    with pytest.raises(UserError, match="There is no experiment file"):
        read_experiment(tmp_path / "none.yaml", SCHEMA)
    with pytest.raises(UserError, match="cannot be read"):
        read_experiment(tmp_path, SCHEMA)
    path = tmp_path / "broken.yaml"
    path.write_bytes(b"\x89PNG\xff")
    with pytest.raises(UserError, match="cannot be read"):
        read_experiment(path, SCHEMA)
    path.write_text("seeds: [0")
    with pytest.raises(UserError, match="not valid YAML"):
        read_experiment(path, SCHEMA)
    path.write_text("")
    with pytest.raises(UserError, match="must hold keys and values"):
        read_experiment(path, SCHEMA)


def test_the_schema_s_sampler_options_are_those_that_the_samplers_take():
    import inspect

    from baselines.tarflow import gs_jacobi, guidance, jacobi, selective
    from biflow import METHODS, OneStep

    guided = {f.name for f in dataclasses.fields(guidance.Guidance)} - {"scale"}
    made_for = {
        "sequential": set(),
        "jacobi": inspect.signature(jacobi.Jacobi.__init__).parameters,
        "selective-jacobi": inspect.signature(selective.SelectiveJacobi.__init__).parameters,
        "gs-jacobi": inspect.signature(gs_jacobi.GSJacobi.__init__).parameters,
    }
    # The plan and its images are not for the file to give, and how often a GPU is asked changes no result.
    left_out = {"self", "flow", "guidance_options", "plan", "images", "check_every"}
    for name, parameters in made_for.items():
        options = schema_of("sampling", "options", name)["properties"]
        assert set(options) == (set(parameters) - left_out) | guided, name
    # How fast it is evaluated is no experiment's option: sample sets are drawn in float32.
    left_out |= {"model", "name", "precision", "compile", "graph"}
    learned = set(inspect.signature(OneStep.__init__).parameters) - left_out
    for name in METHODS:
        assert set(schema_of("sampling", "options", name)["properties"]) == learned, name


def test_the_section_guidance_may_be_left_out_and_takes_defaults(values):
    del values["guidance"]
    assert build(ExperimentConfig, values).guidance is None
    built = build(ExperimentConfig, values | {"guidance": {"n_samples": 50}}).guidance
    assert (built.n_samples, built.annealed) == (50, False)
    assert 0.0 in built.scales
