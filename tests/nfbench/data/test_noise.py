import pytest
import torch

from nfbench.data.noise import STREAMS, balanced_labels, latent_noise, uniform_noise


@pytest.mark.parametrize("draw", [latent_noise, uniform_noise])
def test_noise_of_image_i_is_the_same_in_any_batch_and_order(draw):
    whole = draw(3, range(20), (7, 4))
    assert whole.shape == (20, 7, 4)
    assert whole.dtype == torch.float64
    batches = [draw(3, range(start, min(start + 6, 20)), (7, 4)) for start in range(0, 20, 6)]
    assert torch.equal(torch.cat(batches), whole)
    order = torch.tensor([11, 2, 19, 2])
    assert torch.equal(draw(3, order, (7, 4)), whole[order])


def test_noise_of_a_shorter_shape_is_the_beginning_of_the_longer():
    assert torch.equal(latent_noise(0, [5], (4,))[0], latent_noise(0, [5], (9, 4))[0, 0])


def test_seed_stream_and_image_each_change_the_noise():
    draws = [latent_noise(seed, [i], (8,), stream) for seed in (0, 1) for i in (0, 1) for stream in STREAMS]
    distinct = {tuple(draw.flatten().tolist()) for draw in draws}
    assert len(distinct) == len(draws)


def test_latent_noise_is_standard_normal_and_uncorrelated_across_images():
    z = latent_noise(0, range(2000), (50,))
    n = z.numel()
    assert abs(z.mean()) < 4 / n**0.5
    assert abs(z.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 4 * (96 / n) ** 0.5
    assert abs((z[1:] * z[:-1]).mean()) < 4 / n**0.5


def test_uniform_noise_is_uniform_in_zero_to_one():
    u = uniform_noise(0, range(1000), (50,))
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 * (1 / 12 / u.numel()) ** 0.5


def test_noise_does_not_change_between_versions():
    """Stored results name (seed, i) only; these values keep their meaning over library updates."""
    expected_z = torch.tensor(
        [-1.7100651198676786, 0.10149188200312752, 0.33433407083086486], dtype=torch.float64
    )
    expected_u = torch.tensor(
        [0.995762621625102, 0.2414668033767191, 0.9579947615331962], dtype=torch.float64
    )
    assert torch.equal(latent_noise(7, [41], (3,))[0], expected_z)
    assert torch.equal(uniform_noise(7, [41], (3,))[0], expected_u)


def test_the_largest_seed_and_image_number_work():
    assert torch.isfinite(latent_noise(2**64 - 1, [2**64 - 1], (2,))).all()


def test_labels_count_up_and_start_again():
    assert balanced_labels(range(8, 13), 10).tolist() == [8, 9, 0, 1, 2]
    counts = balanced_labels(range(5000), 10).bincount()
    assert counts.tolist() == [500] * 10


@pytest.mark.parametrize(
    ("seed", "indices", "stream", "message"),
    [(-1, [0], "latent", "seed"), (0, [-1], "latent", "negative"), (0, [0], "latnt", "latnt")],
)
def test_what_names_no_draw_is_refused(seed, indices, stream, message):
    with pytest.raises(ValueError, match=message):
        latent_noise(seed, indices, (2,), stream)
