"""What the figures are drawn from, and which an experiment has."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt

from nfbench.measurements import row
from nfbench.report.figures import charts, charts_speed, images
from nfbench.report.figures.catalogue import chart_names, image_names
from nfbench.report.figures.measured import Measured, error_bar, looks
from tests.nfbench.report.rows import experiment, frame, quality, sampler, times


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def resolved(*samplers, spaces=("effnet",), flows=("flow",), reverses=(), **more):
    """Return a resolved experiment of samplers that are timed and measured unless they say otherwise."""
    rows = [{"speed": True, "quality": True, "options": {}} | each for each in samplers]
    trained = {"training": {"steps": 100}}
    (made,) = experiment(*rows).values()
    sections = {"flows": dict.fromkeys(flows, trained), "reverses": dict.fromkeys(reverses, trained)}
    return made | sections | {"quality": {"spaces": list(spaces)}, "editing": None} | more


def exact(name="sequential", **attributes):
    return sampler(name, exact=True, **attributes)


def iterative(value, group="jacobi", **attributes):
    about = {"type": "jacobi", "group": group, "iterative": True, "options": {"tolerance": value}}
    return sampler(f"{group}@tolerance={value}", **about | attributes)


def learned(name="biflow", **attributes):
    return sampler(name, **{"reverse": "biflow", "learned": True, "output": "clean"} | attributes)


def curves(axes):
    """Return {label: (x, y)} of the lines of a panel."""
    lines = [(line.get_label(), line.get_data()) for line in axes.lines]
    bars = [
        (bars.get_label(), bars.lines[0].get_data()) for bars in axes.containers if hasattr(bars, "lines")
    ]
    return {
        label: tuple(np.asarray(each, dtype=float).tolist() for each in data)
        for label, data in lines + bars
        if not label.startswith("_")
    }


def gap(values):
    """Return values with None for NaN."""
    return [None if np.isnan(value) else value for value in values]


# --- names ---


def test_the_charts_of_an_experiment_follow_from_its_file():
    every = resolved(
        sampler("real", flow=None, speed=False),
        exact(),
        iterative(0.1),
        iterative(0.5),
        learned(),
        learned("biflow@step=10", group="biflow", step=10, speed=False),
        learned("guided@0", group="guided", guidance=0.0),
        learned("guided@1", group="guided", guidance=1.0),
        editing={"n_images": 10},
    )
    assert chart_names(every) == list(charts.CHARTS)
    assert image_names(every) == ["samples", "nearest", "trajectory", "inpainting", "class_editing"]


def test_an_experiment_of_random_weights_has_the_chart_of_speed_alone():
    speed = resolved(exact(quality=False)) | {"flows": {"flow": {"training": {"steps": 0}}}}
    assert chart_names(speed) == ["speedup"]
    assert image_names(speed) == []


def test_tolerances_are_charted_only_where_a_sampler_has_several_and_their_error_is_measured():
    alone = resolved(exact(), iterative(0.1), iterative(0.1, group="gs-jacobi"))
    random_weights = resolved(exact(), iterative(0.1, quality=False), iterative(0.5, quality=False))
    for about in (alone, random_weights):
        assert not {"tolerance", "iterations"} & set(chart_names(about))


def test_the_names_are_decided_without_torch_or_matplotlib():
    code = "import sys, nfbench.report.figures.catalogue"
    code += "; print(sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- quality ---


def test_the_pareto_front_is_what_nothing_beats_in_both():
    points = np.array([(3.0, 1.0), (1.0, 5.0), (2.0, 2.0), (2.0, 3.0), (4.0, 1.0)])
    assert charts.pareto_front(points).tolist() == [[1, 5], [2, 2], [3, 1]]
    assert len(charts.pareto_front(np.empty((0, 2)))) == 0


def test_ties_stay_on_the_pareto_front_together_and_rounding_beats_nothing():
    same = np.array([(1.0, 5.0), (1.0005, 4.998)])
    assert len(charts.pareto_front(same)) == 2
    slower = np.array([(1.0, 5.0), (2.0, 4.999)])  # the same images, drawn more slowly
    assert charts.pareto_front(slower).tolist() == [[1, 5]]


def test_points_are_at_geometric_mean_latency_and_mean_distance_and_real_images_are_a_line():
    rows = [*quality("sequential", [10, 30]), *times("sequential", [1, 4]), *quality("real", [2, 2])]
    rows += [*quality("biflow", [8, None]), *times("biflow", [1, 1])]
    about = resolved(sampler("real", flow=None, speed=False), exact(), learned())
    (axes,) = charts.quality_speed(Measured.of(frame(*rows), about)).axes
    found = curves(axes)
    assert found["sequential"] == (pytest.approx([2.0]), [20.0])
    assert found["real images"][1] == [2.0, 2.0]
    assert "biflow" not in found  # a seed has no distance


def test_an_error_bar_ends_above_zero_on_a_logarithmic_axis():
    about = resolved(exact())
    cell = Measured.of(frame(*quality("sequential", [10], low=-5, high=13)), about)
    cell = cell.cell(about["samplers"][0], "fd", space="effnet")
    assert error_bar(cell).ravel().tolist() == [9.0, 3.0]


def test_rows_of_one_model_share_a_colour_and_no_two_groups_look_alike():
    rows = [exact(), exact("clean", type="sequential", output="clean"), learned(), learned("two")]
    found = looks([row | {"options": {}} for row in rows])
    assert found["sequential"]["color"] == found["clean"]["color"] != found["biflow"]["color"]
    assert len({tuple(look.values()) for look in found.values()}) == 4


def test_the_curve_over_sample_sizes_is_the_mean_over_seeds_and_leaves_out_who_draws_the_same_images():
    rows = []
    for name, shift in (("sequential", 0), ("jacobi", 0.001), ("biflow", -2)):
        rows += quality(name, [5 + shift, 7 + shift])
        rows += [r | {"n": n} for n in (20, 40) for r in quality(name, [9, 11], "fd_at_n")]
    rows += [r | {"low": 1, "high": 4} for r in quality("biflow", [2, 4], "fd_at_infinity")]
    about = resolved(exact(), sampler("jacobi"), learned())
    (axes,) = charts.sample_size(Measured.of(frame(*rows), about)).axes
    found = curves(axes)
    assert "jacobi" not in found
    assert dict(zip(*found["sequential"], strict=True)) == {1 / 20: 10, 1 / 40: 10, 1 / 100: 6}
    ends = [line.get_ydata()[0] for line in axes.lines if line.get_xdata()[0] == 0]
    assert ends[0] == 3.0


def test_guidance_is_drawn_by_scale_and_a_scale_without_all_seeds_is_a_gap():
    scales = {0.0: [4, 6], 2.0: [2, 2], 1.0: [3, None]}
    rows = [learned(f"guided@{w}", group="guided", guidance=w) for w in scales]
    measured = [r for w, values in scales.items() for r in quality(f"guided@{w}", values)]
    (axes, _) = charts.guidance(Measured.of(frame(*measured), resolved(*rows))).axes
    x, y = curves(axes)["guided"]
    assert x == [0, 1, 2]
    assert gap(y) == [5, None, 2]


def test_a_panel_that_shows_nothing_but_real_images_says_that_it_was_not_measured():
    rows = [learned(f"guided@{w}", group="guided", guidance=w) for w in (0.0, 1.0)]
    about = resolved(sampler("real", flow=None), *rows)
    (axes, _) = charts.guidance(Measured.of(frame(*quality("real", [2, 2])), about)).axes
    assert [text.get_text() for text in axes.texts] == ["not measured"]
    assert list(curves(axes)) == ["real images"]


def test_training_curves_are_drawn_against_seconds():
    rows = []
    for step, nll in ((50, 3.0), (100, None)):
        keys = {"sampler": "flow", "seed": "0", "step": step}
        rows += [row("train_seconds", step / 10, **keys), row("validation_nll_nats_per_dim", nll, **keys)]
    (axes,) = charts.training(Measured.of(frame(*rows), resolved(exact()))).axes
    x, y = curves(axes)["flow"]
    assert (x, gap(y)) == ([5, 10], [3, None])


# --- speed ---


def test_a_speed_up_is_over_the_fastest_exact_inverse_of_the_same_output_and_missing_sizes_are_gaps():
    rows = [*times("sequential", [8, 8]), *times("static", [4, 2]), *times("jacobi", [2, 1])]
    rows += times("static", [1, 1], batch_size=8)
    about = resolved(exact(), exact("static"), sampler("jacobi"), learned())
    (axes,) = charts_speed.speedup(Measured.of(frame(*rows), about)).axes
    found = {name: gap(y) for name, (_, y) in curves(axes).items()}
    assert found["jacobi"] == [pytest.approx(2.0), None]
    assert found["static"] == [1.0, 1.0]
    assert found["sequential"] == [pytest.approx(8**0.5 / 8), None]


def test_tolerances_of_a_group_are_a_line_by_error_and_exact_inverses_are_levels():
    rows = [*times("sequential", [10])]
    for value, error, ms in ((0.5, 1e-2, 1.0), (0.1, 1e-4, 2.0), (0.0, 0.0, 4.0)):
        name = f"jacobi@tolerance={value}"
        rows += [*times(name, [ms]), row("inversion_mse", error, sampler=name, seed="0")]
    about = resolved(exact(), *(iterative(value) for value in (0.5, 0.1, 0.0)))
    (axes,) = charts_speed.tolerance(Measured.of(frame(*rows), about)).axes
    found = curves(axes)
    assert found["jacobi"] == ([charts_speed.ROUNDING_MSE, 1e-4, 1e-2], pytest.approx([4, 2, 1]))
    assert found["sequential"][1] == pytest.approx([10, 10])


def test_the_tuned_tolerance_of_a_sweep_has_a_symbol_of_its_own():
    rows = []
    for value, error, ms in ((0.5, 1e-2, 1.0), (0.1, 1e-4, 2.0), ("tuned", 1e-3, 1.5)):
        name = f"jacobi@tolerance={value}"
        rows += [*times(name, [ms]), row("inversion_mse", error, sampler=name, seed="0")]
    about = resolved(*(iterative(value) for value in (0.5, 0.1, "tuned")))
    (axes,) = charts_speed.tolerance(Measured.of(frame(*rows), about)).axes
    found = curves(axes)
    assert found["jacobi"][0] == [1e-4, 1e-2]
    assert found["jacobi@tolerance=tuned"] == ([1e-3], pytest.approx([1.5]))


def test_iterations_are_drawn_by_block_beside_the_predicted_difficulty():
    about = resolved(iterative(0.5), iterative(0.1))
    rows = [
        row(f"block_{name}_percent_{b}", 50, sampler="flow") for name in ("crm", "hardness") for b in (0, 1)
    ]
    rows += [
        row(f"iterations_block{b}", 2 + b + 2 * seed, sampler="jacobi@tolerance=0.5", seed=str(seed))
        for b in (0, 1)
        for seed in (0, 1)
    ]
    left, right = charts_speed.iterations(Measured.of(frame(*rows), about)).axes
    assert curves(left)["jacobi@tolerance=0.5"] == ([0, 1], [3, 4])
    assert [bar.get_height() for bar in right.patches] == [50] * 4


def test_the_exact_inverse_is_drawn_at_equal_total_training_time():
    flows = {"flow": 100, "longer": 200}
    rows = [row("train_steps", steps, sampler=name, step=steps) for name, steps in flows.items()]
    rows += [row("train_seconds", steps / 10, sampler=name, step=steps) for name, steps in flows.items()]
    rows += [row("train_seconds", seconds, sampler="biflow", step=seconds) for seconds in (5, 10)]
    rows += [*quality("exact", [8]), *quality("exact-longer", [4])]
    rows += [
        *quality("biflow@step=5", [9], flag="seen_by_loss"),
        *quality("biflow", [3], flag="seen_by_loss"),
    ]
    about = resolved(
        exact("exact", output="clean"),
        exact("exact-longer", output="clean", flow="longer"),
        learned("biflow@step=5", group="biflow", step=5),
        learned(),
    )
    (axes,) = charts_speed.training_time(Measured.of(frame(*rows), about)).axes
    found = curves(axes)
    assert found["biflow"] == ([5, 10], [9, 3])
    assert next(line for line in axes.lines if line.get_label() == "biflow").get_linestyle() == "--"
    assert found["flows measured"] == ([0, 10], [8, 4])
    x, y = found["exact inverse, equal total time"]
    assert (x[0], x[-1]) == (0, 10)
    assert [y[0], y[-1]] == pytest.approx([8, 4])
    assert found["half its distance"][1] == pytest.approx(np.array(y) / 2)


# --- files and images ---


def test_every_chart_of_an_experiment_without_measurements_is_still_written(tmp_path):
    about = resolved(exact(), iterative(0.1), iterative(0.5), learned(), reverses=["biflow"])
    charts.draw_charts(frame(), about, tmp_path)
    names = chart_names(about)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.{form}" for name in names for form in ("png", "pdf")
    )


def test_the_first_images_of_the_classes_asked_for_are_shown():
    numbers, labels = np.arange(6), np.array([2, 0, 0, 1, 2, 1])
    shown = images.first_of_classes(numbers, labels, np.array([0, 1, 2, 0, 2]))
    assert shown.tolist() == [1, 3, 0, 2, 4]
    asked = labels[:4]  # images that were drawn for these labels stay in their order
    assert images.first_of_classes(numbers, labels, asked).tolist() == [0, 1, 2, 3]
    assert images.first_of_classes(numbers, labels, np.array([-1, -1])).tolist() == [0, 1]


def test_a_class_edited_image_is_framed_where_it_has_its_own_class():
    shown, edits = np.zeros((2, 1, 4, 4), np.uint8), {"biflow": np.zeros((2, 3, 1, 4, 4), np.uint8)}
    figure = images.class_editing(shown, [2, 0], edits, ["a", "b", "c"])
    framed = [axes.spines["left"].get_visible() for axes in figure.axes]
    assert framed == [False, False, False, True, False, True, False, False]
