"""Sizes of networks: published counts are met, and FLOPs are those of the samplers."""

from pathlib import Path

import pytest
import torch

from baselines import TarFlow, TarFlowSpec, make_sampler
from baselines.farmer import FarmerStudent, StudentSpec
from baselines.tarflow.cost import encode_flops, inverse_flops
from biflow import ReverseModel, ReverseSpec, presets
from biflow.presets import network_rows, size_table
from biflow.sizes import network_size, random_network
from nfbench.measure.speed.flops import count_flops

CONFIG = Path(__file__).resolve().parents[2] / "config"
TOLERANCES = {"B": 0.02, "biflow-B": 0.02, "XL": 0.05}
SMALL = {"channels": 1, "patch_size": 2, "width": 16, "blocks": 3, "head_dim": 8, "n_classes": 4}


def small_flow(image_size: int, **changes) -> TarFlowSpec:
    return TarFlowSpec(**SMALL | {"image_size": image_size, "layers_per_block": 2} | changes)


@pytest.fixture(scope="module")
def rows():
    return {row.name: row for row in network_rows()}


def test_the_paper_s_networks_have_the_published_number_of_parameters_where_it_is_known(rows):
    published = {name: row.published for name, row in rows.items()}
    assert published == {"B": 120, "XL": 690, "biflow-B": 133, "biflow-XL": None}
    for name, tolerance in TOLERANCES.items():
        assert rows[name].size.sampling_parameters / 1e6 == pytest.approx(published[name], rel=tolerance)


@pytest.mark.parametrize(("name", "layers"), [("B", 2), ("XL", 3)])
def test_flops_are_two_a_weight_and_token_and_four_a_channel_and_pair_of_tokens(rows, name, layers):
    width = rows[name].size.width
    for model, parts, tokens in ((name, 8, 255), (f"biflow-{name}", 9, 256)):
        size = rows[model].size
        embeddings = 8 * (256 + 1000) * width if model == name else (256 + 9 * 1001) * width
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


def test_the_command_prints_a_row_a_network_and_needs_no_data(capsys):
    presets.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:5]] for line in lines[2:6]] == [
        ["B", "flow", "768", "8 x 2"],
        ["XL", "flow", "1536", "8 x 3"],
        ["biflow-B", "reverse", "768", "9 x 2"],
        ["biflow-XL", "reverse", "1536", "9 x 3"],
    ]
    assert "published" in lines[0]
    assert lines[6] == ""


def test_the_command_prints_the_networks_of_an_experiment(tmp_path, capsys):
    others = (
        "  hidden: {extends: biflow, objective: hidden}\n  farmer: {objective: farmer, training: {steps: 5}}"
    )
    path = tmp_path / "tiny.yaml"
    path.write_text((CONFIG / "tiny.yaml").read_text().replace("\nsamplers:", f"{others}\n\nsamplers:", 1))
    presets.main([str(path)])
    out = capsys.readouterr().out
    rows = network_rows(path)
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
