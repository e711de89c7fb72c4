"""Cells of a table of speeds."""

import time

import pytest
import torch

from nfbench.measure.cells import TIMED, matmul_flops_per_second, time_cell

CPU = torch.device("cpu")


def test_a_cell_holds_the_time_of_an_image_and_its_spread():
    row = time_cell(lambda: time.sleep(0.02), 4, CPU, max_seconds=0.2, min_rounds=5)
    assert 0.005 <= row["seconds_per_image_q1"] <= row["seconds_per_image"] <= row["seconds_per_image_q3"]
    assert row["images_per_second"] == pytest.approx(1 / row["seconds_per_image"])
    assert row["rounds"] >= 5
    assert row["peak_memory_gib"] is row["note"] is None


def test_what_does_not_fit_into_memory_is_empty_and_says_why():
    def call():
        raise torch.OutOfMemoryError

    row = time_cell(call, 4, CPU, max_seconds=0.2, min_rounds=5)
    assert row["note"] == "out of memory"
    assert all(row[name] is None for name in TIMED)


def test_other_failures_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        time_cell(lambda: 1 / 0, 4, CPU, max_seconds=0.2, min_rounds=5)


def test_a_large_product_tells_what_a_device_can_do():
    assert matmul_flops_per_second(CPU, "fp32", max_seconds=0.2) > 1e8
