"""The target speed: what it makes of an experiment, and what it refuses; nothing is run."""

import yaml

from tests.workflow.runner import TINY, rules_to_run, snakemake


def test_speed_is_made_on_request_from_models_alone(tmp_path):
    done = snakemake(tmp_path, "-n", "speed")
    assert done.returncode == 0, done.stdout + done.stderr
    rules = rules_to_run(done.stdout)
    assert {"measure_protocol", "report_speed", "report_table4", "plot_speedup"} <= rules
    assert not {"measure_quality", "measure_speed", "report_table"} & rules


def test_a_reference_that_does_not_exist_is_refused(tmp_path):
    values = yaml.safe_load(TINY.read_text())
    values["speed"]["references"] = ["results/reference/nowhere/speed.csv"]
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(values))
    done = snakemake(tmp_path, "-n", "speed", config=config)
    assert done.returncode != 0
    assert "'speed.references' lists results/reference/nowhere/speed.csv" in done.stdout + done.stderr
