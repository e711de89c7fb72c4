"""Sizes of networks: published counts are met, and FLOPs are those of the samplers."""

import pytest
import torch

from baselines import TarFlow, TarFlowSpec, demo_flow, make_sampler
from baselines.tarflow.flops import encode_flops, inverse_flops
from biflow import ReverseModel, ReverseSpec, demo_reverse, presets
from biflow.presets import PRESETS, experiment_rows, preset_rows, size_table
from biflow.sizes import flow_size, reverse_size
from nfbench.measure.flops import count_flops

ROOT = presets.SCHEMA.parents[2]
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
    assert preset.reverse.layers_per_group == preset.flow.layers_per_block


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
    flow, reverse = (
        TarFlow(small_flow(6)),
        ReverseModel(ReverseSpec(**SMALL, image_size=6, layers_per_group=2)),
    )
    x, z, y = torch.zeros(1, 1, 6, 6), torch.zeros(1, 9, 4), torch.zeros(1, dtype=torch.long)
    size = flow_size(flow.spec)
    assert size.parameters == size.sampling_parameters == sum(p.numel() for p in flow.parameters())
    assert size.pass_flops == count_flops(lambda: flow.encode(x, y))
    assert (size.parts, size.layers) == (3, 2)
    size = reverse_size(reverse.spec)
    heads = sum(p.numel() for p in reverse.heads.parameters())
    assert size.parameters - heads == size.sampling_parameters == reverse.n_sampling_parameters()
    assert size.pass_flops == count_flops(lambda: make_sampler("biflow", reverse).sample(z, y))
    assert (size.parts, size.layers, size.inverse_flops) == (4, 2, None)


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
    flow_size(small_flow(4))
    reverse_size(ReverseSpec(**SMALL, image_size=4, layers_per_group=1))
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(3)))


def test_the_default_experiment_s_networks_are_those_of_the_demonstration():
    flow, reverse = experiment_rows(ROOT / "config/fashion14.yaml")
    assert (flow.name, flow.role, reverse.name, reverse.role) == ("fashion14", "flow", "biflow", "reverse")
    assert flow.size == flow_size(demo_flow().spec)
    assert reverse.size == reverse_size(demo_reverse().spec)


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


def test_the_command_prints_an_experiment_s_networks_method_by_method(tmp_path, capsys):
    text = (ROOT / "config/tiny.yaml").read_text()
    biflow = text.split("  biflow:\n")[1].split("\nsampling:")[0]
    path = tmp_path / "tiny.yaml"
    path.write_text(text.replace("\nsampling:", f"\n  biflow-hidden:\n{biflow}\nsampling:"))
    presets.main([str(path)])
    out = capsys.readouterr().out
    rows = experiment_rows(path)
    assert out == size_table(rows)
    assert [row.name for row in rows] == ["tiny", "biflow", "biflow-hidden"]
    assert rows[2].size.parameters == rows[2].size.sampling_parameters > rows[1].size.parameters
    assert "published" not in out


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("width: 32", "witdh: 32", "did you mean 'width'?"),
        ("head_dim: 16", "head_dim: 12", "head_dim 12 does not divide width 32"),
        ("patch_size: 2", "patch_size: 3", "patch_size 3 does not divide the 8 pixels"),
        ("name: digits", "name: digit", "did you mean 'digits'?"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path, before, after, words):
    path = tmp_path / "x.yaml"
    path.write_text((ROOT / "config/tiny.yaml").read_text().replace(before, after, 1))
    with pytest.raises(SystemExit) as stopped:
        presets.main([str(path)])
    (message,) = str(stopped.value.code).splitlines()
    assert message.startswith("error: ")
    assert words in message


@pytest.mark.parametrize("name", ["missing.yaml", "folder", "picture.yaml"])
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\xff")
    with pytest.raises(SystemExit) as stopped:
        presets.main([str(tmp_path / name)])
    (message,) = str(stopped.value.code).splitlines()
    assert name in message


def test_without_the_schema_the_command_asks_for_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "SCHEMA", tmp_path / "config.schema.yaml")
    with pytest.raises(SystemExit, match="run from a checkout"):
        presets.main([str(ROOT / "config/tiny.yaml")])
