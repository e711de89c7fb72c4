"""Sizes of networks: published counts are met, and FLOPs are those of the samplers."""

import dataclasses
from pathlib import Path

import pytest
import torch

from baselines import TarFlow, TarFlowSpec, make_sampler
from baselines.farmer import FarmerStudent, StudentSpec
from baselines.tarflow.cost import encode_flops, inverse_flops
from biflow import ReverseModel, ReverseSpec, presets
from biflow.presets import PRESETS, experiment_rows, preset_rows, size_table
from biflow.sizes import network_size, random_network
from nfbench.measure.speed.flops import count_flops

CONFIG = Path(__file__).resolve().parents[2] / "config"
TOLERANCES = {("B/2", "flow"): 0.02, ("B/2", "reverse"): 0.02, ("XL/2", "flow"): 0.05}
SMALL = {"channels": 1, "patch_size": 2, "width": 16, "blocks": 3, "head_dim": 8, "n_classes": 4}


def small_flow(image_size: int, **changes) -> TarFlowSpec:
    return TarFlowSpec(**SMALL | {"image_size": image_size, "layers_per_block": 2} | changes)


@pytest.fixture(scope="module")
def rows():
    return {(row.name, row.role): row for row in preset_rows()}


@pytest.mark.parametrize("key", TOLERANCES, ids="-".join)
def test_a_preset_has_the_published_number_of_parameters(rows, key):
    row = rows[key]
    assert row.size.sampling_parameters / 1e6 == pytest.approx(row.published, rel=TOLERANCES[key])


def test_the_published_numbers_are_those_of_the_paper_and_one_is_unknown(rows):
    published = {key: row.published for key, row in rows.items()}
    known = {("B/2", "flow"): 120, ("B/2", "reverse"): 133, ("XL/2", "flow"): 690}
    assert published == known | {("XL/2", "reverse"): None}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_a_preset_is_of_the_reference_setting(preset):
    for spec in (preset.flow, preset.reverse):
        assert (spec.n_tokens, spec.token_dim, spec.n_classes, spec.blocks) == (256, 16, 1000, 8)
        assert (spec.width % 64, spec.head_dim) == (0, 64)
    assert preset.reverse.width == preset.flow.width
    assert preset.reverse.layers_per_stage == preset.flow.layers_per_block


@pytest.mark.parametrize("name", PRESETS)
def test_flops_are_two_a_weight_and_token_and_four_a_channel_and_pair_of_tokens(rows, name):
    width, layers = PRESETS[name].flow.width, PRESETS[name].flow.layers_per_block
    for role, parts, tokens in (("flow", 8, 255), ("reverse", 9, 256)):
        size = rows[name, role].size
        embeddings = {"flow": 8 * (256 + 1000) * width, "reverse": (256 + 9 * 1001) * width}[role]
        weights = 2 * (size.sampling_parameters - embeddings) * tokens
        attention = parts * layers * 4 * width * tokens**2
        assert size.pass_flops == pytest.approx(weights + attention, rel=0.002)


def test_sizes_are_those_of_networks_that_have_weights():
    flow = TarFlow(small_flow(6))
    reverse = ReverseModel(ReverseSpec(**SMALL, image_size=6, layers_per_stage=2))
    x, z, y = torch.zeros(1, 1, 6, 6), torch.zeros(1, 9, 4), torch.zeros(1, dtype=torch.long)
    size = network_size(flow.spec)
    assert size.parameters == size.sampling_parameters == sum(p.numel() for p in flow.parameters())
    assert size.pass_flops == count_flops(lambda: flow.encode(x, y))
    assert (size.parts, size.layers) == (3, 2)
    size, sampler = network_size(reverse.spec), make_sampler("biflow", reverse)
    heads = sum(p.numel() for p in reverse.heads.parameters())
    assert size.parameters - heads == size.sampling_parameters == reverse.n_sampling_parameters()
    assert size.pass_flops == count_flops(lambda: sampler.sample(z, y)) == sampler.flops_per_image()
    assert (size.parts, size.layers, size.inverse_flops) == (4, 2, None)
    student = FarmerStudent(StudentSpec(flow.spec))
    size = network_size(student.spec)
    assert size.parameters == size.sampling_parameters == sum(p.numel() for p in student.parameters())
    assert size.pass_flops == make_sampler("farmer", student).flops_per_image()


@pytest.mark.parametrize(
    ("image_size", "changes"),
    [(4, {}), (6, {}), (4, {"n_classes": None}), (4, {"volume_preserving": True, "blocks": 1})],
    ids=str,
)
def test_the_inverse_s_flops_are_those_of_the_sequential_samplers(image_size, changes):
    spec = small_flow(image_size, **changes)
    z, y = torch.zeros(3, spec.n_tokens, spec.token_dim), torch.zeros(3, dtype=torch.long)

    def counted(name, guidance=0.0):
        sampler = make_sampler(name, TarFlow(spec))
        return count_flops(lambda: sampler.sample(z, y, guidance))

    expected = 3 * inverse_flops(spec)
    assert counted("sequential") == counted("sequential-static") == expected
    assert counted("sequential", guidance=1.0) == 2 * expected


def test_the_inverse_does_the_work_of_an_encoding_less_the_attention_to_later_tokens():
    for image_size in (4, 8, 16):
        spec = small_flow(image_size)
        n = spec.n_tokens - 1
        spared = 4 * spec.width * n * (n - 1) // 2
        layers = spec.blocks * spec.layers_per_block
        assert encode_flops(spec) - inverse_flops(spec) == layers * spared


def test_a_flow_of_one_token_has_nothing_to_invert():
    assert inverse_flops(small_flow(2)) == 0


def test_sizing_draws_no_random_number():
    torch.manual_seed(3)
    network_size(small_flow(4))
    network_size(ReverseSpec(**SMALL, image_size=4, layers_per_stage=1))
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize(
    "spec",
    [small_flow(4), StudentSpec(small_flow(4)), ReverseSpec(**SMALL, image_size=4, layers_per_stage=1)],
    ids=["flow", "student", "reverse"],
)
def test_random_networks_have_no_zero_weights_and_finite_samples(spec):
    network = random_network(spec, torch.device("cpu"))
    assert all(m.weight.ne(0).all() for m in network.modules() if isinstance(m, torch.nn.Linear))
    name = {TarFlowSpec: "sequential", StudentSpec: "farmer", ReverseSpec: "biflow"}[type(spec)]
    sampler = make_sampler(name, network)
    images = sampler.sample(torch.randn(2, *sampler.latent_shape), torch.tensor([0, 1])).images
    assert images.isfinite().all()
    assert images.abs().max() < 100


def test_the_command_prints_a_row_a_network(capsys):
    presets.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:4] for line in lines[2:6]] == [
        ["| B/2", "flow", "768", "8 x 2"],
        ["| B/2", "reverse", "768", "9 x 2"],
        ["| XL/2", "flow", "1536", "8 x 3"],
        ["| XL/2", "reverse", "1536", "9 x 3"],
    ]
    assert "published" in lines[0]
    assert lines[6] == ""


def test_the_networks_of_the_paper_s_speed_are_the_presets_and_need_no_data():
    sizes = {row.name: row.size for row in experiment_rows(CONFIG / "paper-speed.yaml")}
    for name, preset in PRESETS.items():
        assert sizes[name[:-2]] == network_size(preset.flow)
        guided = dataclasses.replace(preset.reverse, guidance_max=1.5)
        assert sizes[f"biflow-{name[:-2]}"] == network_size(guided)


def test_the_command_prints_the_networks_of_an_experiment(tmp_path, capsys):
    others = (
        "  hidden: {extends: biflow, objective: hidden}\n  farmer: {objective: farmer, training: {steps: 5}}"
    )
    path = tmp_path / "tiny.yaml"
    path.write_text((CONFIG / "tiny.yaml").read_text().replace("\nsamplers:", f"{others}\n\nsamplers:", 1))
    presets.main([str(path)])
    out = capsys.readouterr().out
    rows = experiment_rows(path)
    assert out == size_table(rows)
    assert "published" not in out
    sizes = {row.name: row.size for row in rows}
    assert list(sizes) == ["flow", "biflow", "hidden", "farmer"]
    assert sizes["hidden"].parameters == sizes["hidden"].sampling_parameters > sizes["biflow"].parameters
    assert sizes["farmer"].parameters == sizes["flow"].parameters


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("width: 32", "witdh: 32", "did you mean 'width'?"),
        ("patch_size: 2", "patch_size: 3", "'patch_size' 3 does not divide the 8 pixels"),
        ("name: digits", "name: digit", "did you mean 'digits'?"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path, before, after, words):
    path = tmp_path / "tiny.yaml"
    path.write_text((CONFIG / "tiny.yaml").read_text().replace(before, after, 1))
    with pytest.raises(SystemExit) as stopped:
        presets.main([str(path)])
    (message,) = str(stopped.value.code).splitlines()
    assert message.startswith("error: ")
    assert words in message
