"""The fast exact inverse: the same numbers and the same count as the plain one, whatever came before."""

import copy
from functools import partialmethod

import pytest
import torch

from baselines import make_sampler
from baselines.tarflow.cost import Count
from baselines.tarflow.guidance import Guidance
from baselines.tarflow.prepared import PreparedFlow
from baselines.tarflow.static import solve_tokens

VARIANTS = [{}, {"clip": 0.3}, {"n_classes": None}, {"volume_preserving": True}]
SCALES = [Guidance(), Guidance(1.5), Guidance(1.5, "a", annealed=True, attention_temperature=0.7)]
# On the largest error of guided log-scales and shifts of up to 1.04; measured, 0.0038.
BFLOAT16 = 0.01


def assert_equal(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.fixture(params=["labels", "no labels"])
def some_y(request, y):
    """Return class ids with -1 among them, then None."""
    return y if request.param == "labels" else None


@pytest.mark.parametrize("changes", VARIANTS)
def test_it_equals_the_plain_inverse_in_images_and_in_count(make_flow, z, some_y, guided, changes):
    flow = make_flow(**changes)
    flow.var.copy_(torch.linspace(0.5, 1.5, flow.var.numel()).view_as(flow.var))
    options, scale = guided
    expected = make_sampler("sequential", flow, **options).sample(z, some_y, scale)
    out = make_sampler("sequential-static", flow, **options).sample(z, some_y, scale)
    assert_equal(out.images, expected.images)
    assert (out.nfe, out.token_steps) == (expected.nfe, expected.token_steps)
    assert out.iterations is None


@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_what_a_call_leaves_behind_changes_no_later_call(flow, z, y, scale):
    expected = make_sampler("sequential-static", flow).sample(z, y, scale).images
    sampler = make_sampler("sequential-static", flow)
    spoilt = sampler.sample(torch.full_like(z, torch.nan), y, scale).images
    assert not spoilt.isfinite().any()
    assert torch.equal(sampler.sample(z, y, scale).images, expected)
    sampler.sample(z[:2], y[:2], 1.5 - scale)
    assert_equal(sampler.sample(z[:2], y[:2], scale).images, expected[:2])
    for size in range(1, 8):  # more than there are workspaces kept
        sampler.sample(torch.randn(size, *z.shape[1:], dtype=z.dtype), None, scale)
    assert torch.equal(sampler.sample(z, y, scale).images, expected)


def test_images_of_one_call_are_not_overwritten_by_the_next(flow, z, y):
    sampler = make_sampler("sequential-static", flow)
    images = sampler.sample(z, y).images
    before = images.clone()
    sampler.sample(-z, y)
    assert torch.equal(images, before)


def test_an_image_that_is_not_finite_spoils_no_other(flow, z, y):
    spoilt = z.clone()
    spoilt[1] = torch.nan
    expected = make_sampler("sequential-static", flow).sample(z, y, 1.5).images
    out = make_sampler("sequential-static", flow).sample(spoilt, y, 1.5).images
    others = [0, 2, 3, 4]
    assert not out[1].isfinite().any()
    assert torch.equal(out[others], expected[others])


def test_to_reads_the_weights_again(flow, make_flow, z, y):
    sampler = make_sampler("sequential-static", flow)
    before = sampler.sample(z, y, 1.5).images
    flow.load_state_dict({name: 1.1 * value for name, value in flow.state_dict().items()})
    after = sampler.to(torch.device("cpu")).sample(z, y, 1.5).images
    assert (after - before).abs().max() > 1e-3
    assert_equal(after, make_sampler("sequential", flow).sample(z, y, 1.5).images)


def test_weights_are_read_when_the_sampler_is_made(flow, z, y):
    sampler = make_sampler("sequential-static", flow)
    expected = sampler.sample(z, y, 1.5).images
    for parameter in flow.parameters():
        parameter.mul_(1.1)
    assert torch.equal(sampler.sample(z, y, 1.5).images, expected)


@pytest.fixture
def graphs(captured, monkeypatch):
    """Let traces stand for CUDA graphs, and return a function that inverts block 1 by one of them."""
    monkeypatch.setattr("nfbench.runtime.CudaGraph", captured)

    def solve(sampler, z, y, guidance):
        count = Count()
        net = sampler.prepared.network(1, y, guidance, len(z), count)
        return sampler._replayed(1, net, z), count

    return solve


@pytest.mark.parametrize(
    ("changes", "guidance"),
    [*((changes, SCALES[0]) for changes in VARIANTS), ({}, SCALES[1]), ({}, SCALES[2])],
    ids=str,
)
@torch.inference_mode()
def test_the_graph_that_a_gpu_replays_solves_the_same_tokens(make_flow, z, y, guidance, changes, graphs):
    sampler = make_sampler("sequential-static", make_flow(**changes))
    spoilt, _ = graphs(sampler, torch.full_like(z, torch.nan), y.flip(0), guidance)
    assert not spoilt.isfinite().any()
    for labels in (y, None):
        solved, count = graphs(sampler, z, labels, guidance)
        kept = solved.clone()
        graphs(sampler, -z, None if labels is None else y.flip(0), guidance)
        assert torch.equal(solved, kept)
        expected_count = Count()
        net = sampler.prepared.network(1, labels, guidance, len(z), expected_count)
        assert_equal(solved, solve_tokens(net, z))
        assert count == expected_count


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@torch.inference_mode()
def test_a_token_takes_a_dozen_kernels_a_layer(make_flow, z, y, graphs, precision):
    kernels = {}
    for layers in (1, 3):
        flow = make_flow(layers_per_block=layers).float()
        sampler = make_sampler("sequential-static", flow, precision=precision)
        graphs(sampler, z.float(), y, Guidance(1.5))
        (graph,) = sampler._graphs._graphs.values()
        kernels[layers] = sum(graph.kernels.values()) / (z.shape[1] - 1)
    a_layer = (kernels[3] - kernels[1]) / 2
    assert a_layer <= (12 if precision == "fp32" else 14)
    assert kernels[1] - a_layer <= 9


def test_compiled_a_token_s_step_is_whole_and_gives_the_same_images(flow, z, y, monkeypatch):
    monkeypatch.setattr(PreparedFlow, "compile", partialmethod(PreparedFlow.compile, backend="eager"))
    expected = make_sampler("sequential-static", flow).sample(z, y, 1.5)
    sampler = make_sampler("sequential-static", flow, compile=True)
    assert sampler.settings["compile"]
    for n in range(1, 6):  # a graph for each size, and an error where it cannot be one
        assert_equal(sampler.sample(z[:n], y[:n], 1.5).images, expected.images[:n])
    assert_equal(sampler.to(torch.device("cpu")).sample(z, y, 1.5).images, expected.images)


def test_no_plan_is_built_for_a_new_number_of_keys(flow, z, y):
    """cuDNN's attention, which torch takes first on some GPUs, would build one for every token."""
    seen = []
    for name in ("sequential", "sequential-static", "jacobi"):
        sampler = make_sampler(name, flow)
        solve = sampler.invert_block

        def watched(*given, solve=solve):
            seen.append(torch.backends.cuda.cudnn_sdp_enabled())
            return solve(*given)

        sampler.invert_block = watched
        sampler.sample(z, y)
    assert seen
    assert not any(seen)
    assert torch.backends.cuda.cudnn_sdp_enabled()


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [0.0, 1.5])
def test_on_a_gpu_the_captured_graph_solves_the_same_tokens(make_flow, z, y, scale):
    flow, gpu = make_flow(), torch.device("cuda")
    reference = make_sampler("sequential", copy.deepcopy(flow))
    sampler = make_sampler("sequential-static", flow).to(gpu)
    sampler.sample(torch.full_like(z, torch.nan).to(gpu), None, scale)
    for noise, labels in [(z, y), (-z, y.flip(0)), (z[:2], None), (z, y)]:
        out = sampler.sample(noise.to(gpu), None if labels is None else labels.to(gpu), scale)
        expected = reference.sample(noise, labels, scale)
        assert_equal(out.images.cpu(), expected.images)
        assert (out.nfe, out.token_steps) == (expected.nfe, expected.token_steps)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu_a_compiled_step_solves_the_same_tokens(make_flow, z, y, precision):
    flow, gpu, z = make_flow().float(), torch.device("cuda"), z.float()
    expected = make_sampler("sequential", copy.deepcopy(flow)).sample(z, y, 1.5)
    sampler = make_sampler("sequential-static", flow, compile=True, precision=precision).to(gpu)
    for noise, labels in [(z, y), (-z, y.flip(0)), (z, y)]:
        out = sampler.sample(noise.to(gpu), labels.to(gpu), 1.5)
    error = (out.images.cpu() - expected.images).abs().max()
    assert error < (1e-4 if precision == "fp32" else 0.2)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("one_by_one", [True, False])
@torch.inference_mode()
def test_bfloat16_matmuls_stay_near_float32_and_predictions_keep_its_precision(flow, z, y, index, one_by_one):
    flow, z = flow.float(), z.float()
    exact, rounded = (
        predicted(PreparedFlow(flow, dtype), index, z, y, one_by_one) for dtype in (None, torch.bfloat16)
    )
    assert rounded.dtype == torch.float32
    assert 1e-5 < (rounded - exact).abs().max() < BFLOAT16


def predicted(prepared, index, x, y, one_by_one):
    """Return log-scales and shifts after every token, (2, B, T, D), token by token or in one evaluation."""
    net = prepared.network(index, y, Guidance(1.5), len(x), Count())
    spans = net.workspace.tokens if one_by_one else [net.workspace.span(0, x.shape[1])]
    return torch.cat([torch.stack(net.predict(x[:, s.start : s.stop], s)) for s in spans], dim=2)


@torch.inference_mode()
def test_tokens_evaluated_together_are_predicted_as_one_by_one(flow, z, y):
    prepared = PreparedFlow(flow)
    assert_equal(predicted(prepared, 1, z, y, False), predicted(prepared, 1, z, y, True))
    a, m, _ = flow.blocks[1].predict(z, y)
    a_u, m_u, _ = flow.blocks[1].predict(z, None)
    expected = torch.stack([a + 1.5 * (a - a_u), m + 1.5 * (m - m_u)])
    assert_equal(predicted(prepared, 1, z, y, False), expected)


@pytest.mark.parametrize("name", ["sequential-static", "sequential-static+denoise"])
def test_images_can_be_differentiated_through(flow, z, y, name):
    flow.requires_grad_(True)  # as a flow comes from training
    images = make_sampler(name, flow).sample(z, y, 1.5).images
    assert not images.is_inference()
    assert not images.requires_grad
    images.requires_grad_()
    flow.encode(images, y).z.square().sum().backward()
    assert images.grad.abs().max() > 0


def test_denoising_follows_as_after_the_plain_inverse(flow, z, y):
    expected = make_sampler("sequential+denoise", flow).sample(z, y, 1.5)
    out = make_sampler("sequential-static+denoise", flow).sample(z, y, 1.5)
    assert_equal(out.images, expected.images)
    assert out.score_evaluations == 1
