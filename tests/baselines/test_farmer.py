"""FARMER's student: where it starts, what its blocks see, its errors, its sampler and its checkpoint."""

import copy
import dataclasses

import pytest
import torch

from baselines import FarmerStudent, load_student, make_sampler, save_flow, save_student
from baselines.farmer import StudentSpec, state_errors
from baselines.tarflow.denoise import denoise
from nfbench.data.tokens import images_to_tokens
from nfbench.errors import UserError
from nfbench.sample.sample_set import draw
from nfbench.train.checkpoint import read_meta

VARIANTS = [{}, {"clip": 0.3}, {"n_classes": None}, {"volume_preserving": True}]


def size(model):
    return sum(p.numel() for p in model.parameters())


@pytest.fixture
def student(flow):
    return FarmerStudent.of(flow).eval()


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_fresh_student_has_its_own_copy_of_the_teacher_s_weights(make_flow, changes):
    flow = make_flow(**changes)
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    student = FarmerStudent.of(flow)
    assert size(student) == size(flow)
    assert all(torch.equal(student.state_dict()[name], value) for name, value in before.items())
    assert all(p.requires_grad for p in student.parameters())
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in flow.state_dict().items())


@pytest.mark.parametrize("changes", VARIANTS)
def test_with_the_mask_on_a_fresh_student_is_one_jacobi_iteration_from_the_noise(make_flow, z, y, changes):
    flow = make_flow(**changes)
    flow.var.fill_(0.7)
    student = FarmerStudent.of(flow)
    expected = make_sampler("jacobi", flow, max_iterations=1, init="z", tolerance=0.0).sample(z, y).images
    found = student.to_images(student.states(z, y, causal=True)[-1])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert not torch.isclose(student.to_images(student(z, y)), expected).all()


@pytest.mark.parametrize("index", [0, 1])
def test_with_the_mask_on_a_fresh_block_gives_its_first_two_tokens_exactly(flow, student, x, y, index):
    block, u = student.blocks[index], images_to_tokens(x, 2)
    back = block(flow.blocks[index](u, y)[0], y, causal=True)
    error = block.order(back - u).abs().amax(dim=(0, 2))
    assert error[:2].max() < 1e-14
    assert error[2:].min() > 1e-6


@pytest.mark.parametrize("index", [0, 1])
def test_every_token_sees_all_others_but_the_first_which_passes_unchanged(student, z, y, index):
    block = student.blocks[index]

    def run(tokens):  # in the block's own order on both sides
        return block.order(block(block.order(tokens[None]), y[:1]))[0].sum(dim=1)

    seen = torch.autograd.functional.jacobian(run, z[0]).abs().sum(dim=2) > 0
    assert seen[1:].all()
    assert seen[0].tolist() == [True] + [False] * 8
    v = block.order(z)
    assert torch.equal(block.order(block(z, y))[:, 0], v[:, 0])


def test_scale_and_shift_stay_within_the_flow_s_clip(make_flow, z, y):
    block = FarmerStudent.of(make_flow(clip=0.05)).blocks[0]
    a, m = block.affine(z, y)
    assert a.abs().max() == m.abs().max() == 0.05


def test_no_label_is_minus_one_and_labels_matter(student, z):
    assert torch.equal(student(z, None), student(z, torch.full((5,), -1)))
    assert not torch.isclose(student(z, torch.zeros(5, dtype=torch.long)), student(z, None)).all()


def test_errors_vanish_where_every_state_is_met_and_are_in_the_student_s_units(student, z, y):
    student.target_rms.copy_(torch.tensor([1.0, 2.0, 4.0]))
    states = [state.detach() for state in student.states(z, y)]
    assert [error.item() for error in state_errors(student, states, states)] == [0.0] * 3
    off = [state + 0.5 * unit for state, unit in zip(states, (1.0, 2.0, 4.0), strict=True)]
    assert [e.item() for e in state_errors(student, states, off)] == pytest.approx([0.25] * 3)


def test_units_of_every_token_s_place(flow, z, y):
    student = FarmerStudent.of(flow, "token")
    assert student.target_rms.shape == (3, 9)
    student.target_rms[:, 4] = 2.0
    states = [state.detach() for state in student.states(z, y)]
    off = [state.index_add(1, torch.tensor([4]), torch.ones(5, 1, 8).double()) for state in states]
    assert [e.item() for e in state_errors(student, states, off)] == pytest.approx([0.25 / 9] * 3)


def test_the_last_state_s_error_trains_every_parameter_of_every_block(student, z, y):
    states = student.states(z, y)
    *_, last = state_errors(student, states, [torch.zeros_like(z)] * 3)
    last.backward()
    assert [name for name, p in student.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_decoding_shows_every_state_and_no_clean_image(student, z, y):
    clean, *states = student.decode_trajectory(z, y)
    assert clean is None
    assert all(torch.equal(a, b) for a, b in zip(states[::-1], student.states(z, y), strict=True))
    assert torch.equal(states[0], student(z, y))


def test_sampling_passes_every_block_once(student, flow, z, y):
    sampler = make_sampler("farmer", student)
    before = z.clone()
    out = sampler.sample(z, y)
    assert (out.nfe, out.token_steps, out.iterations, out.score_evaluations) == (1, 3 * 9, None, 0)
    assert torch.equal(out.images, student.to_images(student(z, y)))
    assert torch.equal(z, before)
    assert sampler.n_parameters == size(flow)
    assert (sampler.latent_shape, sampler.n_classes) == ((9, 8), 4)
    assert not any(block._forward_hooks for block in student.blocks)
    with pytest.raises(UserError, match="farmer was trained without guidance"):
        sampler.sample(z, y, guidance=1.0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_graph_that_a_gpu_replays_gives_the_same_images(student, z, y, captured, monkeypatch, precision):
    monkeypatch.setattr("nfbench.runtime.CudaGraph", captured)
    sampler, z = make_sampler("farmer", student.float(), precision=precision), z.float()
    for given in ([z, y], [-z, y.flip(0)], [z]):
        with torch.no_grad():
            tokens, count = sampler._evaluate.replayed(*given)
            expected, expected_count = sampler._evaluate.evaluated(*given)
        torch.testing.assert_close(tokens, expected, rtol=0, atol=1e-5)
        assert count == expected_count


@pytest.mark.gpu
def test_on_a_gpu_it_draws_the_same_images(student, z, y):
    expected = make_sampler("farmer", copy.deepcopy(student)).sample(z, y)
    sampler = make_sampler("farmer", student).to(torch.device("cuda"))
    for noise in (-z, z):
        out = sampler.sample(noise.cuda(), y.cuda())
    torch.testing.assert_close(out.images.cpu(), expected.images, rtol=0, atol=1e-10)
    assert (out.nfe, out.token_steps) == (expected.nfe, expected.token_steps)


def test_the_denoised_form_takes_the_score_of_the_flow(student, flow, z, y):
    sampler = make_sampler("farmer+denoise", student, flow=flow)
    noisy, clean = make_sampler("farmer", student).sample(z, y), sampler.sample(z, y)
    assert torch.equal(clean.images, denoise(flow, noisy.images, y))
    assert (sampler.name, clean.nfe, clean.score_evaluations) == ("farmer+denoise", 1, 1)
    assert sampler.n_parameters == 2 * size(flow)  # two networks of the same size
    assert make_sampler("sequential+denoise", flow).n_parameters == size(flow)  # one, evaluated twice


def test_the_denoised_form_asks_for_the_flow_and_refuses_another(student, make_flow):
    with pytest.raises(UserError, match="as the argument 'flow'"):
        make_sampler("farmer+denoise", student)
    with pytest.raises(UserError, match="another architecture than the one its model learned from"):
        make_sampler("farmer+denoise", student, flow=make_flow(clip=0.3))


@pytest.mark.parametrize("name", ["farmer", "farmer+denoise"])
def test_image_i_is_the_same_at_any_batch_size(student, flow, name):
    options = {"seed": 3, "n": 7, "device": torch.device("cpu"), "dtype": torch.float64}
    sampler = make_sampler(name, student, **({"flow": flow} if "+" in name else {}))
    one_by_one, at_once = (draw(sampler, batch_size=size, **options).images for size in (1, 7))
    torch.testing.assert_close(torch.from_numpy(one_by_one), torch.from_numpy(at_once), rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalisation", ["state", "token", "none"])
def test_checkpoint_round_trip(make_flow, tmp_path, z, y, normalisation):
    student = FarmerStudent.of(make_flow(clip=0.3).float(), normalisation)
    student.target_rms.uniform_(0.5, 2.0)
    path = tmp_path / "student.safetensors"
    save_student(path, student, {"training": {"seconds": 2.0}})
    loaded, meta = load_student(path), read_meta(path)
    assert loaded.spec == student.spec
    assert meta["training"]["seconds"] == 2.0
    assert torch.equal(loaded.target_rms, student.target_rms)
    assert torch.equal(loaded(z.float(), y), student(z.float(), y))
    found = make_sampler("farmer", path).sample(z.float(), y).images
    assert torch.equal(found, make_sampler("farmer", student).sample(z.float(), y).images)


def test_a_checkpoint_of_another_kind_is_told(flow, student, tmp_path):
    of_flow, of_student = tmp_path / "flow.safetensors", tmp_path / "student.safetensors"
    save_flow(of_flow, flow)
    save_student(of_student, student)
    with pytest.raises(UserError, match="kind 'tarflow'; expected 'farmer-student'"):
        make_sampler("farmer", of_flow)
    with pytest.raises(UserError, match="kind 'farmer-student'; expected 'tarflow'"):
        make_sampler("farmer+denoise", of_student, flow=of_student)


def test_a_normalisation_that_does_not_exist_is_named(flow):
    with pytest.raises(ValueError, match="normalisation is 'tokens', not one of"):
        dataclasses.replace(StudentSpec(flow.spec), normalisation="tokens")
