"""The keys of an experiment file: what fits together, and one sentence for what does not."""

import typing

import pytest
from pydantic import BaseModel

from nfbench import config
from nfbench.config import DataConfig, ReverseConfig, TrainingConfig, validated
from nfbench.errors import UserError

MODELS = [
    each
    for each in vars(config).values()
    if isinstance(each, type) and issubclass(each, config.Section) and each is not config.Section
]
REVERSE = {"objective": "alignment", "width": 32, "layers": 1, "training": {"steps": 60}}


def error_of(model: type[BaseModel], values: dict) -> str:
    with pytest.raises(UserError) as caught:
        validated(model, values, "x.yaml")
    return str(caught.value)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_of_a_file_is_described_and_no_model_takes_others(model):
    assert model.__doc__.splitlines()[0].rstrip(".")
    if model is config.SamplerRow:  # is made, not written
        return
    sections = {config.Experiment, *MODELS}
    for name, field in model.model_fields.items():
        assert field.description or field.annotation in sections, name
    assert model.model_config["extra"] == ("allow" if model is config.SamplerEntry else "forbid")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": "farmer"}, "a farmer has the flow's architecture; leave 'width' and 'layers' out"),
        ({"width": None}, "the keys 'width' and 'layers' are needed"),
        ({"layers": None}, "the keys 'width' and 'layers' are needed"),
        ({"perceptual": {"effnet": 0.4}, "denoising": "none"}, "'perceptual' compares clean images"),
        ({"energy": {"effnet": 30.0}, "denoising": "none"}, "'energy' compares clean images"),
        (
            {"objective": "farmer", "width": None, "layers": None, "perceptual": {"effnet": 0.4}},
            "'perceptual' compares clean images",
        ),
        (
            {"energy": {"effnet": 30.0}, "training": {"steps": 1, "batch_size": 1}},
            "set 'training.batch_size' to 2",
        ),
        (
            {"objective": "naive", "guidance_max": 1.0},
            "is defined for the objective alignment",
        ),
        (
            {"objective": "hidden", "guidance_max": 1.0},
            "is defined for the objective alignment",
        ),
        ({"guidance_max": 1.0, "class_dropout_prob": 0}, "set 'class_dropout_prob' above 0"),
        ({"guidance_prob": 0.5}, "do nothing without 'guidance_max'"),
        ({"conditioning": "extrapolated"}, "do nothing without 'guidance_max'"),
        ({"head_dim": 6}, "'head_dim' is 6: input should be a multiple of 4"),
        ({"perceptual": {"lpips": 0.4}}, "'perceptual.lpips' is 'lpips'; did you mean 'lpips-vgg'?"),
        ({"perceptual": {"effnet": 0}}, "'perceptual.effnet' is 0: input should be greater than 0"),
        ({"adaptive_weight": 0.5}, "'adaptive_weight' is 0.5: input should be a valid boolean"),
    ],
    ids=str,
)
def test_keys_of_a_reverse_that_do_not_fit_together_are_refused(changes, words):
    sentence = error_of(ReverseConfig, REVERSE | changes)
    assert words in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        ({}, "clean"),
        ({"denoising": "none"}, "noisy"),
        ({"objective": "farmer", "width": None, "layers": None}, "noisy"),
        ({"guidance_max": 1.0, "conditioning": "extrapolated", "guidance_prob": 0.5}, "clean"),
    ],
    ids=str,
)
def test_a_reverse_says_whether_its_images_are_clean(changes, output):
    assert ReverseConfig.model_validate(REVERSE | changes).output == output


def test_a_number_may_be_written_as_yaml_reads_it_but_is_no_yes():
    assert TrainingConfig.model_validate({"steps": 1, "weight_decay": "1e-4"}).weight_decay == 1e-4
    for key in ("steps", "learning_rate"):
        sentence = error_of(TrainingConfig, {"steps": 1} | {key: True})
        assert sentence == f"x.yaml: '{key}' is True: a number is needed, not yes or no."


def test_a_misspelt_key_is_named_before_what_follows_from_it():
    sentence = error_of(TrainingConfig, {"step": 60})
    assert sentence == "x.yaml: unknown key 'step'; did you mean 'steps'?"
    assert error_of(TrainingConfig, {}) == "x.yaml: the key 'steps' is missing; add it."


def test_experiments_share_a_folder_where_they_have_the_same_images():
    assert DataConfig(name="digits").dataset == DataConfig(name="digits", validation=200).dataset == "digits"
    assert DataConfig(name="digits", validation=0).dataset == "digits-validation0"


def test_words_are_those_of_the_code_that_reads_them():
    from baselines import farmer
    from biflow import model
    from biflow.objectives import OBJECTIVES
    from biflow.perceptual import PERCEPTUAL
    from nfbench import registry
    from nfbench.data.datasets import datasets
    from nfbench.measure.quality.features import spaces

    def words(section, key):
        return set(typing.get_args(section.model_fields[key].annotation))

    assert words(DataConfig, "name") == set(datasets()) == set(config.VALIDATION)
    assert set(typing.get_args(config.Space)) == set(spaces())
    assert set(typing.get_args(typing.get_args(config.Weights)[0])) == set(PERCEPTUAL)
    assert words(ReverseConfig, "objective") == set(OBJECTIVES) | {"farmer"} == set(registry.OBJECTIVES)
    for key, literal in (
        ("normalisation", model.Normalisation),
        ("denoising", model.Denoising),
        ("conditioning", model.Conditioning),
    ):
        assert words(ReverseConfig, key) == set(typing.get_args(literal))
    assert set(typing.get_args(farmer.Normalisation)) == words(ReverseConfig, "normalisation")
