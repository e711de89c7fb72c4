"""Speed against error, on samplers whose errors are known."""

import time

import torch

from nfbench.measure.front import errors, times
from nfbench.sample.sampler import Sampled


class Shifted:
    """A sampler whose images are the noise plus a constant."""

    name = "shifted"

    def __init__(self, shift, seconds=0.0):
        self.shift, self.seconds = shift, seconds
        self.batches = []

    def sample(self, z, y, guidance=0.0):
        self.batches.append(len(z))
        time.sleep(self.seconds)
        return Sampled(z + self.shift, nfe=3.0, token_steps=9.0, sweeps=[1.0, 2.0])


def test_errors_are_those_against_the_exact_sampler():
    z = torch.zeros(4, 2, 3)
    same, off = errors([Shifted(0.0), Shifted(0.5)], Shifted(0.0), z, None)
    assert (same["inversion_mse"], same["max_error"], same["non_finite"]) == (0.0, 0.0, 0)
    assert (off["inversion_mse"], off["max_error"], off["sweeps"]) == (0.25, 0.5, [1.0, 2.0])


def test_images_that_are_not_finite_are_counted_and_left_out_of_the_error():
    z = torch.zeros(4, 2, 3)
    shift = torch.zeros(4, 1, 1)
    shift[0], shift[1] = torch.nan, 2.0
    (found,) = errors([Shifted(shift)], Shifted(0.0), z, None)
    assert found["non_finite"] == 1
    assert abs(found["inversion_mse"] - 4 / 3) < 1e-12
    assert found["max_error"] == 2.0


def test_times_are_per_image_and_in_batches_of_the_size_asked_for():
    sampler = Shifted(0.0, seconds=0.004)
    (row,) = times([sampler], torch.zeros(6, 2, 3), None, batch_size=2, rounds=3)
    assert set(sampler.batches) == {2}
    assert (row["batch_size"], row["rounds"]) == (2, 3)
    assert 2.0 <= row["ms_per_image_q1"] <= row["ms_per_image"] <= row["ms_per_image_q3"]
