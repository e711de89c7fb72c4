"""What the speed suite builds: every sampler, in the precision asked for."""

import pytest
import torch
from build import build, inputs_of, requests_by_hand, takes_precision

from nfbench.errors import UserError

CPU = torch.device("cpu")
NAMES = [request["row"]["name"] for request in requests_by_hand(None, {})]


def request(name: str) -> dict:
    (made,) = requests_by_hand([name], {})
    return made


@pytest.mark.parametrize("name", [*NAMES, "farmer+denoise", "jacobi+denoise"])
def test_every_sampler_is_built_with_random_weights_and_draws_finite_images(name: str):
    asked = request(name)
    if name.startswith("farmer"):  # has the flow's architecture
        asked["reverse_config"] |= {"objective": "farmer", "width": None, "layers": None}
    sampler, precision = build(asked, CPU, "fp32")
    out = sampler.sample(*inputs_of(sampler, 2, CPU), 0.0)
    assert precision == "fp32"
    assert out.images.shape == (2, 1, 14, 14)
    assert out.images.isfinite().all()
    assert out.score_evaluations == name.endswith("+denoise")


@pytest.mark.parametrize("name", ["sequential", "sequential+denoise", "sequential-static", "biflow"])
def test_in_bf16_a_sampler_gives_other_images_in_fp32_numbers(name: str):
    asked, images = request(name), {}
    for precision in ("fp32", "bf16"):
        sampler, found = build(asked, CPU, precision)
        images[precision] = sampler.sample(*inputs_of(sampler, 2, CPU), 0.0).images
        assert found == precision
    assert images["bf16"].dtype == torch.float32
    assert not torch.equal(images["bf16"], images["fp32"])


def test_a_row_that_sets_its_own_precision_keeps_it():
    asked = request("biflow")
    asked["row"]["options"] = {"precision": "fp32"}
    assert build(asked, CPU, "bf16")[1] == "fp32"
    assert takes_precision("biflow")
    assert not takes_precision("sequential")


def test_images_of_the_data_are_not_timed():
    with pytest.raises(UserError, match="'real' is images of the data"):
        request("real")
