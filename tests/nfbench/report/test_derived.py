"""Derived rows: speed-ups, A/A replicates, and quality against training time."""

import math

import pytest

from nfbench.measurements import row
from nfbench.report.derived import with_derived
from tests.nfbench.report.rows import KEY, experiment, frame, quality, sampler, times

INVERSES = experiment(
    sampler("sequential", exact=True),
    sampler("sequential-static", exact=True),
    sampler("sequential+denoise", exact=True, output="clean"),
    sampler("jacobi", iterative=True),
    sampler("biflow", learned=True, output="clean"),
)


def ratio(cells, name: str):
    found = cells.cell(KEY, name, "ms_per_image_over_exact", batch_size=1, guidance=0.0)
    return found.value, found.records[0]["relative_to"] if found.records else None


def timed(*rows, error: float = 1e-3):
    made = [
        *times("sequential", [8.0, 8.0]),
        *times("sequential-static", [4.0, 4.0]),
        *times("jacobi", [2.0, 2.0]),
    ]
    made += quality("jacobi", [error], "inversion_mse", "")
    return with_derived(
        frame(*made, *times("biflow", [1.0, 1.0]), *times("sequential+denoise", [10.0, 10.0]), *rows),
        INVERSES,
    )


def test_times_are_over_the_fastest_exact_inverse_with_the_same_kind_of_output():
    cells = timed()
    assert ratio(cells, "sequential") == (pytest.approx(2.0), "sequential-static")
    assert ratio(cells, "sequential-static") == (1.0, "sequential-static")
    assert ratio(cells, "biflow") == (pytest.approx(0.1), "sequential+denoise")


def test_an_iterative_inverse_is_a_baseline_where_its_error_is_rounding():
    assert ratio(timed(), "sequential")[1] == "sequential-static"
    assert ratio(timed(error=1e-9), "sequential") == (pytest.approx(4.0), "jacobi")


def test_only_equal_batch_sizes_are_compared():
    cells = timed(*times("biflow", [1.0], batch_size=64))
    assert not cells.records(KEY, "biflow", "ms_per_image_over_exact", batch_size=64)


def test_each_precision_is_compared_with_itself_and_fp32_is_meant_where_none_is_named():
    rounded = [*times("sequential", [3.0], precision="bf16"), *times("biflow", [0.5], precision="bf16")]
    rounded += times("sequential+denoise", [5.0], precision="bf16")
    cells = timed(*rounded)
    assert cells.cell(KEY, "biflow", "ms_per_image", batch_size=1).value == 1.0
    assert cells.cell(KEY, "biflow", "ms_per_image", batch_size=1, precision="bf16").value == 0.5
    assert ratio(cells, "biflow") == (pytest.approx(0.1), "sequential+denoise")
    found = cells.cell(KEY, "biflow", "ms_per_image_over_exact", batch_size=1, precision="bf16")
    assert found.value == pytest.approx(0.1)
    only = with_derived(frame(*times("biflow", [0.5], precision="bf16")), INVERSES)
    assert only.cell(KEY, "biflow", "ms_per_image", batch_size=1).value == 0.5


def test_only_inverses_of_one_flow_are_compared():
    samplers = (sampler("sequential", exact=True), sampler("larger", exact=True, flow="other"))
    rows = frame(*times("sequential", [1.0]), *times("larger", [9.0]))
    assert ratio(with_derived(rows, experiment(*samplers)), "larger") == (1.0, "larger")


def test_ratios_pair_processes_and_have_an_interval():
    rows = frame(*times("sequential", [2.0, 8.0]), *times("sequential-static", [1.0, 4.0]))
    found = with_derived(rows, INVERSES).cell(KEY, "sequential", "ms_per_image_over_exact")
    assert (found.value, *found.over_samples) == pytest.approx((2.0, 2.0, 2.0))


def test_a_replicate_is_compared_with_its_sampler_process_by_process():
    rows = frame(*times("sequential", [2.0, 4.0]), *times("sequential", [2.2, 4.4], "ms_per_image_replicate"))
    found = with_derived(rows, INVERSES).cell(KEY, "sequential", "ms_per_image_replicate_ratio")
    assert found.value == pytest.approx(1.1)


def test_rows_are_derived_once_however_often_it_is_asked_for():
    once = timed()
    rows = frame(*(record for found in once._records.values() for record in found))
    assert len(with_derived(rows, INVERSES)._records) == len(once._records)


def trained(name: str, seconds: float, steps: float) -> list[dict]:
    about = {"sampler": name, "seed": "0", "step": steps}
    return [row("train_seconds", seconds, **about), row("train_steps", steps, **about)]


def budget(distances: dict[str, float]):
    """A flow of 100 and one of 400 steps, a second each, a reverse of 100 with a checkpoint at 50."""
    samplers = [
        sampler("exact", exact=True, output="clean"),
        sampler("exact-400", exact=True, output="clean", flow="flow-400"),
    ]
    samplers += [
        sampler(n, group="biflow", reverse="biflow", learned=True, step=s)
        for n, s in (("early", 50), ("biflow", None))
    ]
    rows = [each for name, value in distances.items() for each in quality(name, [value])]
    rows += (
        trained("flow", 100.0, 100)
        + trained("flow-400", 400.0, 400)
        + trained("biflow", 30.0, 50)
        + trained("biflow", 100.0, 100)
    )
    return with_derived(frame(*rows), experiment(*samplers))


def test_a_reverse_is_compared_with_the_exact_inverse_at_equal_training_time():
    cells = budget({"exact": 100.0, "exact-400": 25.0, "early": 90.0, "biflow": 20.0, "real": 5.0})
    value = {
        m: cells.cell(KEY, "biflow", m, space="effnet").value
        for m in ("fd_exact", "fd_over_exact", "fd_above_real_over_exact")
    }
    assert cells.cell(KEY, "biflow", "total_train_seconds").value == pytest.approx(200.0)
    assert value == pytest.approx({"fd_exact": 50.0, "fd_over_exact": 0.4, "fd_above_real_over_exact": 1 / 3})


def test_crossings_are_read_off_the_checkpoints():
    at = {"early": 70.0, "biflow": 20.0}  # at 130 and 200 s, where the exact inverse has 77 and 50
    cells = budget({"exact": 100.0, "exact-400": 25.0} | at)
    assert cells.cell(KEY, "biflow", "seconds_until_below_exact", space="effnet").value == 30.0
    assert cells.cell(KEY, "biflow", "seconds_until_half_of_exact", space="effnet").value == 100.0


def test_nothing_is_known_beyond_the_longest_trained_flow():
    cells = budget({"exact": 100.0, "exact-400": 25.0, "early": 99.0, "biflow": math.inf})
    assert not cells.records(KEY, "biflow", "seconds_until_below_exact", space="effnet")
