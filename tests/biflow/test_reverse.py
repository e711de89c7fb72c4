"""The reverse model, its objective and its sampler."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import biflow
from baselines import make_sampler
from biflow import ReverseModel, ReverseSpec, load_reverse, save_reverse
from biflow.layers import rotary_angles, rotate
from biflow.objectives import Trajectory, hidden_alignment, trajectory
from biflow.training import held_out_path
from nfbench.data.datasets import Dataset
from nfbench.errors import UserError
from nfbench.train.checkpoint import read_meta
from tests.biflow.toy import SIZES


def test_rotation_keeps_lengths_and_sees_only_offsets():
    angles = rotary_angles(4, 8).double()
    q, k = torch.randn(2, 16, 8, dtype=torch.float64)
    turned_q = rotate(q[:1].expand(16, 8), angles.cos(), angles.sin())
    turned_k = rotate(k[:1].expand(16, 8), angles.cos(), angles.sin())
    torch.testing.assert_close(turned_q.norm(dim=1), q[0].norm().expand(16))
    scores = turned_q @ turned_k.T
    # token 5 is row 1, column 1; both pairs are one row and one column apart
    torch.testing.assert_close(scores[0, 5], scores[10, 15])
    torch.testing.assert_close(scores[1, 4], scores[6, 9])
    assert not torch.isclose(scores[0, 5], scores[0, 1])


def test_every_output_depends_on_every_input_token(model, z, y):
    jacobian = torch.autograd.functional.jacobian(lambda v: model(v[None], y[:1])[0].sum(dim=1), z[0])
    assert (jacobian.abs().sum(dim=2) > 0).all()


def test_a_fresh_model_has_identity_stages():
    model = ReverseModel(ReverseSpec(**SIZES, layers_per_stage=2, head_dim=8))
    z = torch.randn(2, 9, 4)
    states = model.hidden_states(z, None)
    no_class = sum(stage.classes.weight[-1] for stage in (*model.stages, model.denoising_stage))
    torch.testing.assert_close(states[-1], model.embed(z) + model.position + no_class)
    assert torch.equal(model(z), model.out.linear.bias.expand(2, 9, 4))


def test_no_label_is_minus_one_and_labels_matter(model, z):
    assert torch.equal(model(z, None), model(z, torch.full((5,), -1)))
    assert not torch.isclose(model(z, torch.zeros(5, dtype=torch.long)), model(z, None)).all()


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_class_that_does_not_exist_is_refused(model, z, beyond):
    with pytest.raises(IndexError):
        model(z, torch.full((5,), model.spec.n_classes + beyond))


def test_held_out_noise_depends_on_the_image_alone(flow):
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 6, 6), dtype=np.uint8)
    data = Dataset("toy", images, np.arange(6, dtype=np.int64) % 4, ("a", "b", "c", "d"))
    flow = flow.float()
    whole, y = held_out_path(flow, data, range(6))
    parts = [held_out_path(flow, data, indices) for indices in (range(2), range(2, 6))]
    torch.testing.assert_close(torch.cat([path.z for path, _ in parts]), whole.z)
    assert torch.equal(torch.cat([labels for _, labels in parts]), y)


def test_the_trajectory_is_the_flow_s_own(flow, y):
    x = torch.randn(5, 1, 6, 6, dtype=torch.float64)
    noisy = x + 0.1
    path = trajectory(flow, x, noisy, y)
    code = flow.encode(noisy, y)
    assert torch.equal(path.z, code.z)
    assert torch.equal(flow.to_images(path.clean), x)
    assert torch.equal(flow.to_images(path.states[-1]), noisy)
    for i, state in enumerate(path.states[:-1]):
        assert torch.equal(state, code.states[-2 - i])


def test_alignment_vanishes_where_every_state_is_met_and_weighs_errors_by_rms(model, flow, z, y):
    result = model.reverse(z, y)
    model.target_rms.copy_(torch.tensor([1.0, 2.0, 4.0]))
    met = [s * rms for s, rms in zip(result.states, model.target_rms, strict=True)]
    perfect = Trajectory(clean=result.x, states=met, z=z)
    assert hidden_alignment(model, perfect, y).item() == pytest.approx(0.0, abs=1e-24)
    off = [s + 0.5 * rms for s, rms in zip(met, model.target_rms, strict=True)]
    loss = hidden_alignment(model, Trajectory(result.x + 0.5, off, z), y)
    assert loss.item() == pytest.approx(4 * 0.25)


def test_sampling_is_one_evaluation_without_the_heads(model, z, y):
    sampler = make_sampler("biflow", model)
    out = sampler.sample(z, y)
    assert out.nfe == 1
    assert torch.equal(out.images, model.to_images(model(z, y)))
    model.heads = None
    assert torch.equal(sampler.sample(z, y).images, out.images)
    with pytest.raises(UserError, match="trained without guidance"):
        sampler.sample(z, y, guidance=1.0)


def test_checkpoint_round_trip(model, tmp_path, z, y):
    model, z = model.float(), z.float()
    path = tmp_path / "reverse.safetensors"
    save_reverse(path, model, {"training": {"seconds": 2.0}})
    loaded, meta = load_reverse(path), read_meta(path)
    assert loaded.spec == model.spec
    assert meta["training"]["seconds"] == 2.0
    assert torch.equal(loaded(z, y), model(z, y))
    with pytest.raises(UserError, match="kind 'biflow-reverse'; expected 'tarflow'"):
        make_sampler("sequential", path)


def test_the_package_alone_imports_no_torch():
    code = "import sys, biflow; assert 'torch' not in sys.modules; print(sorted(biflow.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = ["OneStep", "ReverseModel", "ReverseSpec", "load_reverse", "save_reverse"]
    assert done.stdout.strip() == str(names)
    with pytest.raises(AttributeError, match="no attribute 'demo'"):
        _ = biflow.demo
