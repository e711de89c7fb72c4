"""Samplers built by name: which options reach what, and which are refused in a sentence."""

import pytest
import torch

from baselines import FarmerStudent, load_flow, make_sampler, samplers, save_flow, save_student
from baselines.tarflow.denoise import denoise
from nfbench.errors import UserError

OWN = '''
class Mine:
    """The noise itself, scaled."""

    output, name = "noisy", "mine"
    output = "noisy"
    settings = {}

    def __init__(self, flow, strength=1.0):
        self.flow, self.strength, self.latent_shape = flow, strength, (9, 8)

    def sample(self, z, y, guidance=0.0):
        from nfbench.sample.sampler import Sampled

        return Sampled(self.strength * self.flow.to_images(z), nfe=0)


class Plain:
    output = "noisy"

    def __init__(self, flow):
        pass


class Clean:
    output = "clean"
    draws_from = "reverse"

    def __init__(self, student):
        self.student = student
'''


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)


def test_every_inverse_is_listed_and_drawn_from_a_flow_or_its_checkpoint(flow, tmp_path, z, y):
    flow, z = flow.float(), z.float()
    save_flow(tmp_path / "flow.safetensors", flow)
    inverses = {"sequential", "sequential-static", "published-loop", "jacobi", "gs-jacobi"}
    assert inverses | {"selective-jacobi", "farmer", "biflow"} <= set(samplers())
    assert not {"real", "real+noise", "class-means"} & set(samplers())
    for name in inverses:
        expected = make_sampler(name, flow).sample(z, y).images
        drawn = make_sampler(name, tmp_path / "flow.safetensors").sample(z, y).images
        torch.testing.assert_close(drawn, expected)  # where weights lie in memory may change the rounding


def test_a_flow_is_read_at_an_earlier_step(flow, make_flow, tmp_path):
    other = make_flow(sigma=0.2)
    other.blocks[0].pos_embed.add_(1.0)
    save_flow(tmp_path / "flow.safetensors", flow, kept={100: other.state_dict()})
    assert torch.equal(load_flow("flow.safetensors").blocks[0].pos_embed, flow.blocks[0].pos_embed.float())
    early = load_flow("flow.safetensors", step=100)
    assert torch.equal(early.blocks[0].pos_embed, other.blocks[0].pos_embed.float())
    with pytest.raises(UserError, match="has no weights of step 7"):
        load_flow("flow.safetensors", step=7)


def test_strength_is_a_class_s_own_option_and_with_denoise_that_of_denoising(flow, z, y):
    images = make_sampler("own.py:Mine", flow, strength=0.3).sample(z, y).images
    assert torch.equal(images, 0.3 * flow.to_images(z))
    clean = make_sampler("own.py:Mine+denoise", flow, strength=0.3).sample(z, y).images
    assert torch.equal(clean, denoise(flow, flow.to_images(z), y, 0.3))


def test_a_reverse_of_either_kind_is_read_for_a_class_of_one_s_own(flow, tmp_path):
    save_student(tmp_path / "student.safetensors", FarmerStudent.of(flow.float()))
    assert isinstance(make_sampler("own.py:Clean", "student.safetensors").student, FarmerStudent)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("jacobi", {"strength": 0.5}, "'strength' is an option of denoising; draw from 'jacobi.denoise'"),
        ("own.py:Plain", {"strength": 0.5}, "'strength' is an option of denoising"),
        ("jacobi", {"tolerance": "tuned"}, "which only the workflow can find; give a number"),
        ("jacobi", {"plan": []}, "'jacobi' has no option 'plan'"),
        ("jacobi+denoise", {"strenght": 0.5}, "no option 'strenght'; did you mean 'strength'?"),
        (
            "own.py:Clean+denoise",
            {},
            "The images of 'own.py:Clean' are clean already; leave '.denoise'",
        ),
        ("class-means", {}, "'class-means' is images of the data, not a sampler"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(flow, name, options, words):
    with pytest.raises(UserError, match=words) as caught:
        make_sampler(name, flow, **options)
    assert "\n" not in str(caught.value)
