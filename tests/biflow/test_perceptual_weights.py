"""Distances whose weights the user brings: built from random weights, and told where they are missing."""

import re
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch_fidelity import sample_similarity_lpips
from torchvision.models import VGG16_Weights, vgg

from biflow.perceptual import CONVNEXT_URL as URL
from biflow.perceptual import convnext, convnext_distance, load_perceptual, lpips_distance
from nfbench.errors import UserError

CHANNELS = (64, 128, 256, 512, 512)
VGG_FILE = VGG16_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
LPIPS_FILE = sample_similarity_lpips.URL_VGG16_LPIPS.rsplit("/", 1)[1]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Give torch an empty folder of weights."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def convolutions():
    """Return VGG16's convolutions with random weights."""
    torch.manual_seed(0)
    return vgg.make_layers(vgg.cfgs["D"])


@pytest.fixture(scope="module")
def linear():
    """Return LPIPS' weights, random, by the names in the published file."""
    generator = torch.Generator().manual_seed(1)
    return {
        f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1, generator=generator)
        for i, width in enumerate(CHANNELS)
    }


@pytest.fixture
def pair():
    """Return images (2, 3, 64, 64) in [-1, 1], and others near by."""
    generator = torch.Generator().manual_seed(2)
    images = 2 * torch.rand(2, 3, 64, 64, generator=generator) - 1
    return images, (images + 0.2 * torch.randn(images.shape, generator=generator)).clamp(-1, 1)


def test_lpips_is_torch_fidelity_s(monkeypatch, convolutions, linear, pair):
    monkeypatch.setattr(sample_similarity_lpips, "load_state_dict_from_url", lambda *_, **__: linear)
    monkeypatch.setattr(
        *(sample_similarity_lpips, "torchvision_load_pretrained_vgg16"),
        lambda: SimpleNamespace(features=convolutions),
    )
    theirs = sample_similarity_lpips.SampleSimilarityLPIPS("lpips-vgg16")
    ours = lpips_distance(convolutions, [weight.flatten() for weight in linear.values()])
    expected = theirs(*((images + 1) * 127.5 for images in pair)).flatten()
    assert (expected > 0).all()
    torch.testing.assert_close(ours(*pair), expected, rtol=1e-4, atol=1e-6)


def test_lpips_reads_the_published_files(folder, convolutions, linear, pair):
    published = {f"features.{name}": value for name, value in convolutions.state_dict().items()}
    torch.save(published | {"classifier.0.bias": torch.zeros(4096)}, folder / VGG_FILE)
    torch.save(linear, folder / LPIPS_FILE)
    loaded = load_perceptual(["lpips-vgg"])["lpips-vgg"]
    ours = lpips_distance(convolutions, [weight.flatten() for weight in linear.values()])
    assert torch.equal(loaded(*pair), ours(*pair))
    torch.save({"features.0.weight": torch.zeros(1)}, folder / VGG_FILE)
    with pytest.raises(UserError, match=f"{VGG_FILE} holds other weights"):
        load_perceptual(["lpips-vgg"])
    (folder / VGG_FILE).write_bytes(b"no weights")
    with pytest.raises(UserError, match=f"{VGG_FILE} is corrupt .*; delete it and download it again"):
        load_perceptual(["lpips-vgg"])


def test_small_grey_images_are_enlarged_for_lpips(convolutions, linear):
    distance = lpips_distance(convolutions, [weight.flatten() for weight in linear.values()])
    grey = torch.rand(2, 1, 14, 14, generator=torch.Generator().manual_seed(3)).requires_grad_(True)
    assert distance.network(distance.inputs(grey))[-1].shape == (2, 512, 4, 4)
    found = distance(grey, torch.zeros(2, 1, 14, 14))
    found.sum().backward()
    assert (found > 0).all()
    assert torch.isfinite(grey.grad).all()
    assert grey.grad.flatten(1).any(dim=1).all()


@pytest.mark.parametrize("missing", [LPIPS_FILE, VGG_FILE])
def test_a_missing_file_of_lpips_is_told_with_its_source_and_its_place(folder, missing):
    for name in {LPIPS_FILE, VGG_FILE} - {missing}:
        (folder / name).touch()
    with pytest.raises(UserError) as caught:
        load_perceptual(["lpips-vgg"])
    start, _, end = str(caught.value).partition("; download it from https://")
    assert start == f"The distance 'lpips-vgg' needs {folder / missing}"
    assert end.endswith(f"/{missing} and put it there.")


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    with pytest.raises(UserError) as caught:
        load_perceptual(["convnext-v2"])
    assert str(caught.value) == (
        "The distance 'convnext-v2' needs the package timm;"
        " install it with pip install 'biflow-bench[perceptual]'."
    )


def test_the_missing_file_of_convnext_is_told_with_its_source_and_its_place(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace())
    with pytest.raises(UserError) as caught:
        load_perceptual(["convnext-v2"])
    assert str(caught.value) == (
        f"The distance 'convnext-v2' needs {folder}/convnextv2_base_1k_224_ema.pt;"
        f" download it from {URL} and put it there."
    )


class TwoStages(nn.Module):
    """Something that returns stages as timm's networks do."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 4, stride=4), nn.Conv2d(8, 16, 2, stride=2)

    def forward(self, x):
        first = self.first(x)
        return [first, self.second(first)]


def test_convnext_s_distance_is_of_all_stages_of_images_that_look_like_imagenet(pair):
    torch.manual_seed(0)
    distance = convnext_distance(network := TwoStages())
    grey = 2 * torch.tensor([0.485, 0.456, 0.406])[None, :, None, None] - 1
    torch.testing.assert_close(
        distance.inputs(grey.expand(1, 3, 64, 64)), torch.zeros(1, 3, 64, 64), rtol=0, atol=1e-6
    )
    assert [tuple(s.shape) for s in network(distance.inputs(pair[0][:, :1, :14, :14]))] == [
        *((2, 8, 16, 16), (2, 16, 8, 8))
    ]
    assert (distance(*pair) > 0).all()
    assert torch.equal(distance(pair[0], pair[0]), torch.zeros(2))


def published_layout(state):
    """Rename the weights of timm's network as its authors do."""
    renamed = {}
    for name, value in state.items():
        name = re.sub(r"^stem\.", "downsample_layers.0.", name)
        name = re.sub(r"^stages\.(\d+)\.downsample", r"downsample_layers.\1", name)
        name = re.sub(r"^stages\.(\d+)\.blocks", r"stages.\1", name)
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv").replace("head.fc", "head")
        name = name.replace("mlp.grn.bias", "grn.beta").replace("mlp.grn.weight", "grn.gamma")
        name = name.replace("head.norm", "norm")
        renamed[name] = value[None, None, None] if "grn" in name else value
    return {"model": renamed}


def test_convnext_reads_the_published_layout(folder, pair):
    timm = pytest.importorskip("timm", reason="convnext-v2 needs the optional package timm")
    small = timm.create_model("convnextv2_atto").eval()
    path = folder / URL.rsplit("/", 1)[1]
    torch.save(published_layout(small.state_dict()), path)
    loaded = convnext(architecture="convnextv2_atto")
    stages = loaded.network(loaded.inputs(pair[0]))
    assert [stage.shape[1] for stage in stages] == [40, 80, 160, 320]
    torch.testing.assert_close(stages[-1], small.stages(small.stem(loaded.inputs(pair[0]))))
    with pytest.raises(UserError, match="holds other weights"):
        convnext(architecture="convnextv2_femto")
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="is corrupt"):
        convnext(architecture="convnextv2_atto")
