"""What the speed suite builds: every sampler, in the precision asked for."""

import pytest
import torch
from build import build, inputs_of, requests_by_hand, takes_precision, use_arithmetic

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
    sampler = build(asked, CPU, "fp32")
    out = sampler.sample(*inputs_of(sampler, 2, CPU), 0.0)
    assert out.images.shape == (2, 1, 14, 14)
    assert out.images.isfinite().all()
    assert out.score_evaluations == name.endswith("+denoise")


@pytest.mark.parametrize("name", [*NAMES, "sequential+denoise"])
def test_in_bf16_a_sampler_gives_other_images_in_fp32_numbers(name: str):
    asked, images = request(name), {}
    for precision in ("fp32", "bf16"):
        sampler = build(asked, CPU, precision)
        images[precision] = sampler.sample(*inputs_of(sampler, 2, CPU), 0.0).images
    assert images["bf16"].dtype == torch.float32
    assert not torch.equal(images["bf16"], images["fp32"])


def test_a_row_that_sets_its_own_precision_keeps_it():
    asked = request("biflow")
    asked["row"]["options"] = {"precision": "fp32"}
    assert build(asked, CPU, "bf16").settings == {"evaluations": 1}


def test_every_sampler_of_ours_takes_a_precision_and_tf32_is_the_process_s():
    assert all(takes_precision(name) for name in NAMES)
    use_arithmetic("tf32")
    assert torch.get_float32_matmul_precision() == "high"
    use_arithmetic("fp32")
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_every_precision_gives_its_own_images(name: str):
    gpu, images = torch.device("cuda"), {}
    try:
        for precision in ("fp32", "tf32", "bf16"):
            use_arithmetic(precision)
            sampler = build(request(name), gpu, precision)
            images[precision] = sampler.sample(*inputs_of(sampler, 2, gpu), 0.0).images.cpu()
    finally:
        use_arithmetic("fp32")
    assert images["fp32"].isfinite().all()
    tf32, bf16 = ((images[other] - images["fp32"]).abs().max() for other in ("tf32", "bf16"))
    assert 0 < bf16 < 1
    assert tf32 < 1  # of two rows a GPU may take products in float32 all the same


def test_images_of_the_data_are_not_timed():
    with pytest.raises(UserError, match="'real' is images of the data"):
        request("real")
