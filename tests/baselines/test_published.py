"""Parity with the published TARFlow code, by numbers that it gave on a tiny model."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from baselines import load_published, make_sampler, save_published
from baselines.tarflow.denoise import denoise
from nfbench.config import TrainingConfig
from nfbench.data.pixels import dequantise
from nfbench.measure.likelihood import bits_per_dim
from nfbench.train.optimisers import learning_rate_factor

TOLERANCE = 5e-5


def variant(state, published, name):
    """Return the flow of one of the fixture's variants."""
    state = dict(state)
    head_dim = 16 if name == "h4" else 64
    if name == "uncond":
        state = {key: value for key, value in state.items() if "class_embed" not in key}
    if name == "vp":
        for key in [key for key in state if "proj_out" in key]:
            state[key] = state[key][12:]
        state["var"] = torch.from_numpy(published["vp/var"])
    return load_published(state, patch_size=2, head_dim=head_dim, sigma=0.1)


def labels(numbers, name):
    return {"drop": numbers("drop/y"), "ynone": None}.get(name, numbers("main/y"))


def assert_near(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["main", "drop", "ynone", "h4", "vp", "uncond"])
def test_forward_states_log_determinant_loss_and_gradient(state, published, numbers, name):
    flow = variant(state, published, name)
    x = numbers("main/x").requires_grad_()
    code = flow.encode(x, labels(numbers, name))
    loss = flow.loss(code)
    if name == "vp":
        # The published loss leaves the prior's variance out; ours is the likelihood.
        loss = 0.5 * code.z.square().mean() - code.logdet.mean()
    assert_near(code.z.detach(), numbers(f"{name}/forward/z"))
    assert_near(torch.stack(code.states).detach(), numbers(f"{name}/forward/outputs"))
    assert_near(code.logdet.detach(), numbers(f"{name}/forward/logdet"))
    assert_near(loss.detach(), numbers(f"{name}/forward/loss"))
    assert_near(torch.autograd.grad(loss, x)[0], numbers(f"{name}/forward/grad_x"))


def test_gradients_of_weights(state, published, numbers):
    flow = variant(state, published, "main")
    flow.loss(flow.encode(numbers("main/x"), numbers("main/y"))).backward()
    names = [key for key in published if key.startswith("main/forward/grad/")]
    assert len(names) == 20
    for key in names:
        assert_near(flow.get_parameter(key.removeprefix("main/forward/grad/")).grad, numbers(key))


GUIDED = {
    "g0": ({}, 0.0),
    "g0_temp0.7": ({"attention_temperature": 0.7}, 0.0),
    "g1.5_ab": ({}, 1.5),
    "g1.5_ab_annealed": ({"annealed": True}, 1.5),
    "g1.5_ab_temp0.7": ({"attention_temperature": 0.7}, 1.5),
    "g1.5_ab_annealed_temp0.7": ({"annealed": True, "attention_temperature": 0.7}, 1.5),
    "g1.5_a": ({"guide": "a"}, 1.5),
    "g1.5_b": ({"guide": "b"}, 1.5),
    "ynone_g0": ({}, 0.0),
    "ynone_g1.5_ab_temp0.7": ({"attention_temperature": 0.7}, 1.5),
}


VARIANTS = {
    "vp/rev_g0": ("vp", {}, 0.0),
    "vp/rev_g1.5_ab": ("vp", {}, 1.5),
    "uncond/rev_g0": ("uncond", {}, 0.0),
    "uncond/rev_g1.5_temp0.7": ("uncond", {"attention_temperature": 0.7}, 1.5),
    "uncond/rev_g1.5_temp1": ("uncond", {}, 1.5),
    "h4/rev_g1.5_annealed_temp0.7": ("h4", {"annealed": True, "attention_temperature": 0.7}, 1.5),
}
RUNS = {f"rev/{name}": ("main", *guided) for name, guided in GUIDED.items()} | VARIANTS
EXACT = [(exact, name) for exact in ("sequential", "sequential-static") for name in RUNS]
EXACT += [("published-loop", name) for name, (_, options, _) in RUNS.items() if not options]  # it has none


@pytest.mark.parametrize(("exact", "name"), EXACT)
def test_exact_inverse(state, published, numbers, exact, name):
    model, options, guidance = RUNS[name]
    y = None if model == "uncond" or "ynone" in name else numbers("main/y")
    sampler = make_sampler(exact, variant(state, published, model), **options)
    assert_near(sampler.sample(numbers("rev/z0"), y, guidance).images, numbers(name))


@pytest.mark.parametrize(("name", "strength"), [("lr1.0", 1.0), ("lr1.4", 1.4), ("drop_lr1.0", 1.0)])
def test_denoising(state, published, numbers, name, strength):
    flow = variant(state, published, "main")
    y = numbers("drop/y") if name.startswith("drop") else numbers("main/y")
    sigma = float(published["denoise/sigma"])
    assert_near(denoise(flow, numbers("denoise/in"), y, strength, sigma), numbers(f"denoise/{name}"))


def test_running_prior_variance(state, published, numbers):
    flow = variant(state, published, "vp")
    flow.update_prior(numbers("vp/forward/z"))
    assert_near(flow.var, numbers("vp/var_after_update"))


def test_bits_per_dimension(state, published, numbers):
    flow = variant(state, published, "main")
    x = dequantise(numbers("bpd/img_uint8"), numbers("bpd/u"))
    assert_near(x, numbers("bpd/x_dequant"))
    code = flow.encode(x, None)
    expected = numbers("bpd/bpd")
    assert_near(bits_per_dim(code.z, code.logdet).mean().to(expected.dtype), expected.mean())


@pytest.mark.parametrize("name", ["main", "vp", "uncond"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_saved_flow_has_the_published_keys_shapes_and_values(state, published, tmp_path, name, suffix):
    flow = variant(state, published, name)
    if name == "uncond":
        state = {key: value for key, value in state.items() if "class_embed" not in key}
    if name == "vp":
        state |= {key: value[12:] for key, value in state.items() if "proj_out" in key}
        state["var"] = torch.from_numpy(published["vp/var"])
    path = tmp_path / f"toy_model_2_64_4_2_0.10{suffix}"
    save_published(path, flow)
    saved = load_file(path) if suffix == ".safetensors" else torch.load(path, weights_only=True)
    assert sum(key.endswith(".attn_mask") for key in saved) == 4
    torch.testing.assert_close(saved, state, rtol=0, atol=0)
    torch.testing.assert_close(load_published(path).state_dict(), flow.state_dict(), rtol=0, atol=0)


def test_learning_rate_schedule(published):
    config = TrainingConfig(
        steps=20,
        batch_size=1,
        optimizer="adamw",
        learning_rate=1e-4,
        warmup_steps=5,
        final_learning_rate_fraction=0.01,
    )
    # After its last step the published schedule rises again, and no training goes there.
    expected = published["lr/warm5_total20_min1e-6_max1e-4"][:21]
    ours = [1e-4 * learning_rate_factor(step, config) for step in range(21)]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
