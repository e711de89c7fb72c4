"""The laws of a normalizing flow, in float64."""

import subprocess
import sys

import pytest
import torch

from baselines import TarFlow, TarFlowSpec, load_flow, save_flow
from baselines.tarflow.training import new_flow
from nfbench.data.tokens import images_to_tokens
from nfbench.errors import UserError
from nfbench.train.checkpoint import read_meta

VARIANTS = [
    {},
    {"clip": 0.3},
    {"n_classes": None},
    {"volume_preserving": True},
    {"blocks": 1},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_log_determinant_is_that_of_the_jacobian(make_flow, x, y, changes):
    flow = make_flow(**changes)
    jacobian = torch.autograd.functional.jacobian(
        lambda image: flow.encode(image[None], y[:1]).z.flatten(), x[0]
    )
    size = x[0].numel()
    expected = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet / size
    torch.testing.assert_close(flow.encode(x[:1], y[:1]).logdet[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reverse_order", [False, True])
def test_a_token_never_sees_later_tokens(flow, x, y, reverse_order):
    block = flow.blocks[int(reverse_order)]
    u = images_to_tokens(x, 2)
    changed = u.clone()
    place = 4
    changed[:, place] += 1.0
    z, z_changed = block(u, y)[0], block(changed, y)[0]
    after = slice(place + 1, None) if reverse_order else slice(None, place)
    before = slice(None, place) if reverse_order else slice(place + 1, None)
    assert torch.equal(z[:, after], z_changed[:, after])
    assert not torch.isclose(z[:, before], z_changed[:, before]).all()


def test_the_first_token_of_a_block_passes_unchanged(flow, x, y):
    u = images_to_tokens(x, 2)
    assert torch.equal(flow.blocks[0](u, y)[0][:, 0], u[:, 0])
    assert torch.equal(flow.blocks[1](u, y)[0][:, -1], u[:, -1])


def test_no_label_is_the_mean_over_classes(flow, x):
    nothing = flow.encode(x, None)
    minus_one = flow.encode(x, torch.full((5,), -1))
    assert torch.equal(nothing.z, minus_one.z)
    for block in flow.blocks:
        block.class_embed.data[:] = block.class_embed.mean(dim=0, keepdim=True)
    torch.testing.assert_close(flow.encode(x, torch.zeros(5, dtype=torch.long)).z, nothing.z)


def test_clipping_bounds_scale_and_shift(make_flow, x, y):
    flow = make_flow(clip=0.05)
    a, m = flow.blocks[0].affine(images_to_tokens(x, 2), y)
    assert a.abs().max() == pytest.approx(0.05)
    assert m.abs().max() == pytest.approx(0.05)


def test_loss_is_the_negative_log_density_of_a_standard_normal_without_its_constant(flow, x, y):
    code = flow.encode(x, y)
    size = x[0].numel()
    log_density = -0.5 * code.z.square().sum(dim=(1, 2)) + size * code.logdet
    torch.testing.assert_close(flow.loss(code), -log_density.mean() / size)


def test_fresh_flow_is_nearly_the_identity():
    sizes = {"width": 64, "blocks": 4, "layers_per_block": 2, "head_dim": 32}
    flow = TarFlow(TarFlowSpec(channels=1, image_size=14, patch_size=2, n_classes=10, **sizes))
    for block in flow.blocks:
        torch.nn.init.zeros_(block.proj_out.bias)
    x = torch.randn(2, 1, 14, 14)
    torch.testing.assert_close(flow.encode(x).z, images_to_tokens(x, 2))


def test_a_flow_to_be_trained_has_layers_that_are_the_identity_and_depends_on_the_seed_alone():
    spec = TarFlowSpec(1, 8, 2, 16, blocks=2, layers_per_block=2, head_dim=8, n_classes=3)
    flow, h = new_flow(spec, seed=1), torch.randn(2, 5, 16)
    for block in flow.blocks:
        for layer in block.attn_blocks:
            assert torch.equal(layer(h)[0], h)
    again, other = (new_flow(spec, seed).state_dict() for seed in (1, 2))
    assert all(torch.equal(value, again[name]) for name, value in flow.state_dict().items())
    name = "blocks.0.attn_blocks.0.attention.qkv.weight"
    assert not torch.equal(again[name], other[name])


def test_checkpoint_round_trip_keeps_weights_architecture_and_facts(flow, tmp_path, x, y):
    flow, x = flow.float(), x.float()
    save_flow(tmp_path / "flow.safetensors", flow, {"training": {"seconds": 1.5}})
    loaded, meta = load_flow(tmp_path / "flow.safetensors"), read_meta(tmp_path / "flow.safetensors")
    assert loaded.spec == flow.spec
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert meta["training"] == {"seconds": 1.5}
    assert torch.equal(loaded.encode(x, y).z, flow.encode(x, y).z)


def test_corrupt_missing_and_foreign_checkpoints_are_told_apart(flow, tmp_path):
    path = tmp_path / "flow.safetensors"
    with pytest.raises(UserError, match="does not exist"):
        load_flow(path)
    save_flow(path, flow)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="corrupt"):
        load_flow(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="corrupt"):
        load_flow(path)


def test_sizes_that_do_not_fit_are_refused():
    from baselines import TarFlowSpec

    with pytest.raises(ValueError, match="patch_size 4 does not divide image_size 6"):
        TarFlowSpec(1, 6, 4, 16, 1, 1, 8)
    with pytest.raises(ValueError, match="head_dim 5 does not divide width 16"):
        TarFlowSpec(1, 6, 2, 16, 1, 1, 5)


def test_a_checkpoint_of_another_version_is_refused(flow, tmp_path):
    from nfbench.train.checkpoint import save_checkpoint

    path = tmp_path / "old.safetensors"
    save_checkpoint(path, flow, "tarflow", {"architecture": {"chanels": 1}})
    with pytest.raises(UserError, match="another version of 'tarflow'"):
        load_flow(path)


def test_the_package_names_its_functions_without_importing_torch():
    code = "import baselines, biflow, sys; assert 'torch' not in sys.modules"
    code += "; from baselines import make_sampler, samplers; assert 'jacobi' in samplers()"
    code += "; from baselines.make import model_at; from baselines import samplers; samplers()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
