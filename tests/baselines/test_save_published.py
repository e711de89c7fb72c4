"""Checkpoints in the published layout: written, read back, and refused in a sentence that says why."""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from baselines import TarFlow, TarFlowSpec, load_published, save_published
from baselines.tarflow.published_checkpoints import published_name
from nfbench.errors import UserError

SPEC = TarFlowSpec(
    channels=1, image_size=8, patch_size=2, width=64, blocks=2, layers_per_block=1, n_classes=3, sigma=0.15
)
NAME = "toy_model_2_64_2_1_0.15"
VARIANTS = {
    "conditional": {},
    "unconditional": {"n_classes": None},
    "volume-preserving": {"volume_preserving": True},
}


def make_flow(**changes):
    torch.manual_seed(0)
    flow = TarFlow(replace(SPEC, **changes))
    for block in flow.blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.05)
    if flow.spec.volume_preserving:
        flow.var.uniform_(0.5, 1.5)
    return flow.eval()


def read(path):
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


def assert_same_flow(one, other):
    assert one.spec == other.spec
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(one.encode(x).z, other.encode(x).z)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_saved_flow_comes_back_as_it_was_its_patch_size_and_noise_from_the_name(tmp_path, suffix, changes):
    flow = make_flow(**changes)
    path = (tmp_path / published_name("toy", flow.spec)).with_suffix(suffix)
    assert path.stem == NAME
    save_published(path, flow)
    assert_same_flow(load_published(path), flow)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_saved_flow_is_fp32_with_the_attention_masks(tmp_path, suffix):
    save_published(tmp_path / f"flow{suffix}", make_flow().double())
    state = read(tmp_path / f"flow{suffix}")
    assert {(v.dtype, v.device.type, v.is_contiguous()) for v in state.values()} == {
        (torch.float32, "cpu", True)
    }
    for block in range(2):
        assert torch.equal(state[f"blocks.{block}.attn_mask"], torch.ones(16, 16).tril())


def test_a_file_of_any_name_is_read_with_patch_size_and_noise_given(tmp_path):
    flow = make_flow()
    save_published(tmp_path / "flow.safetensors", flow)
    with pytest.raises(UserError, match="patch size of .*flow.safetensors is not known; pass patch_size=P"):
        load_published(tmp_path / "flow.safetensors")
    assert_same_flow(load_published(tmp_path / "flow.safetensors", patch_size=2, sigma=0.15), flow)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_other_precision_load_as_fp32(tmp_path, suffix, dtype):
    state = {name: value.to(dtype) for name, value in make_flow().state_dict().items()}
    path = tmp_path / f"{NAME}{suffix}"
    (torch.save if suffix == ".pth" else save_file)(state, path)
    loaded = load_published(path).state_dict()
    torch.testing.assert_close(loaded, {k: v.float() for k, v in state.items()}, rtol=0, atol=0)


def test_a_missing_prior_variance_is_ones_unless_the_flow_preserves_volume():
    state = make_flow().state_dict()
    del state["var"]
    assert torch.equal(load_published(state, patch_size=2).var, torch.ones(16, 4))
    state = make_flow(volume_preserving=True).state_dict()
    del state["var"]
    with pytest.raises(UserError, match="missing: var"):
        load_published(state, patch_size=2)


def without(*parts):
    return lambda state: {key: v for key, v in state.items() if not any(part in key for part in parts)}


def adding(entries):
    return lambda state: state | entries


MISFITS = {
    "missing": (
        without("blocks.1.attn_blocks.0.mlp"),
        "missing: blocks.1.attn_blocks.0.mlp.norm.weight, blocks.1.attn_blocks.0.mlp.norm.bias,"
        " blocks.1.attn_blocks.0.mlp.main.0.weight and 3 more.",
    ),
    "unexpected": (adding({"ema": torch.ones(1), "odd.x": torch.ones(1)}), "unexpected: ema, odd.x."),
    "shape": (
        adding({"blocks.1.proj_in.bias": torch.ones(63)}),
        "of another shape: blocks.1.proj_in.bias (63,) where (64,) was expected.",
    ),
    "several": (
        lambda state: without("blocks.1.pos_embed")(state) | {"odd": torch.ones(1)},
        "missing: blocks.1.pos_embed; unexpected: odd.",
    ),
    "outputs": (
        adding({"blocks.0.proj_out.weight": torch.ones(7, 64)}),
        "blocks.0.proj_out.weight (7, 64) where (8, 64) was expected.",
    ),
    "class_embed": (without("blocks.0.class_embed"), "class_embed is missing in block 0 but not in block 1;"),
    "class_embed scalar": (
        adding({"blocks.0.class_embed": torch.tensor(1.0)}),
        "blocks.0.class_embed () where (1, 1, 64) was expected",
    ),
    "foreign": (
        lambda state: {"conv.weight": torch.ones(1)},
        "blocks.0.pos_embed, blocks.0.proj_in.weight, blocks.0.proj_out.weight and 1 more missing, which tell"
        " the architecture; it holds conv.weight.",
    ),
    "empty": (lambda state: {}, "it holds nothing."),
    "no matrix": (
        adding({"blocks.0.pos_embed": torch.ones(16)}),
        "blocks.0.pos_embed has shape (16,) where (T, C) was expected.",
    ),
    "tokens": (
        adding({"blocks.0.pos_embed": torch.ones(15, 64)}),
        "T = 15 tokens (pos_embed) make no square image",
    ),
    "wrapped": (
        lambda state: {"model": state, "optimizer": {}, "epoch": 3, "args": None},
        "of its 4 entries these are no tensors: model (dict), optimizer (dict), epoch (int) and 1 more; if"
        " one of them holds the weights, pass that entry",
    ),
    "integers": (
        adding({"blocks.0.proj_in.bias": torch.ones(64, dtype=torch.int8)}),
        "not all tensors hold floating-point numbers: blocks.0.proj_in.bias (torch.int8).",
    ),
}


@pytest.mark.parametrize(("change", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    path = tmp_path / f"{NAME}.pth"
    torch.save(change(dict(make_flow().state_dict())), path)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_published(path)
    assert str(caught.value).startswith(f"{path} is no published TARFlow: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"patch_size": 3},
            "patch size 3 does not fit: D = 4 values a token (proj_in) are no multiple of 9.",
        ),
        ({"patch_size": 0}, "patch size 0 does not fit"),
        ({"patch_size": 2, "head_dim": 48}, "head_dim 48 does not divide the width 64;"),
    ],
)
def test_a_patch_size_or_head_dim_that_does_not_fit_is_refused(options, message):
    with pytest.raises(UserError, match=re.escape(f"the state dict is no published TARFlow: {message}")):
        load_published(make_flow().state_dict(), **options)


def write_truncated(path):
    torch.save(make_flow().state_dict(), path)
    path.write_bytes(path.read_bytes()[:5000])


UNREADABLE = {
    "absent": (".pth", lambda path: None, "does not exist."),
    "empty": (".pth", lambda path: path.touch(), "truncated or of another format"),
    "text": (".pth", lambda path: path.write_text("hello"), "truncated or of another format"),
    "truncated": (".pth", write_truncated, "truncated or of another format"),
    "not safetensors": (
        ".safetensors",
        lambda path: path.write_text("hello"),
        "truncated or of another format",
    ),
    "module": (".pth", lambda path: torch.save(make_flow(), path), "holds Python objects beside tensors"),
    "list": (".pth", lambda path: torch.save([torch.ones(1)], path), "holds a list, no state dict"),
}


@pytest.mark.parametrize(("suffix", "write", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_file_is_refused_in_one_sentence(tmp_path, suffix, write, message):
    path = tmp_path / f"{NAME}{suffix}"
    write(path)
    with pytest.raises(UserError, match=message) as caught:
        load_published(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


UNSAYABLE = {
    "clip": ({"clip": 3.0}, "flow.pth", "clips at 3.0, which the published code does not; use save_flow"),
    "head_dim": ({"head_dim": 32}, "flow.pth", "heads are 32 wide, in the published code always 64"),
    "suffix": ({}, "flow.npz", "flow.npz names no format .* end it in .pth or .safetensors"),
    "name": ({}, "toy_model_4_64_2_1_0.15.pth", f"tells of another flow; name it {NAME}.pth"),
    "noise": ({"sigma": 0.125}, f"{NAME}.pth", "two decimals for sigma and cannot say 0.125"),
}


@pytest.mark.parametrize(("changes", "name", "message"), UNSAYABLE.values(), ids=UNSAYABLE)
def test_what_the_format_cannot_say_is_refused_and_nothing_is_left_behind(tmp_path, changes, name, message):
    with pytest.raises(UserError, match=message):
        save_published(tmp_path / "new" / name, make_flow(**changes))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(state, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_published(tmp_path / "flow.pth", make_flow())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("sigma", "text"), [(0.0, "0.00"), (0.1 + 0.05, "0.15"), (0.3, "0.30")])
def test_a_published_name_says_the_noise_with_two_decimals(sigma, text):
    assert published_name("toy", replace(SPEC, sigma=sigma)) == f"toy_model_2_64_2_1_{text}.pth"


def test_a_published_name_refuses_noise_that_needs_more_decimals():
    with pytest.raises(
        UserError, match="two decimals for sigma and cannot say 0.125; name the file otherwise"
    ):
        published_name("toy", replace(SPEC, sigma=0.125))
