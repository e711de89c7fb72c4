"""Options of the speed suite; pytest reads options from the first conftest.py only."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/speed."""
    group = parser.getgroup("speed", "tests/speed, which runs with --benchmark-only")
    group.addoption("--request", metavar="FILE.json", help="what to time, as the rule measure_speed asks")
    group.addoption(
        "--sampler",
        action="append",
        metavar="NAME",
        help="sampler type to time with random weights, repeatable (default: all inverses, and biflow)",
    )
    group.addoption(
        "--batch-size",
        action="append",
        type=int,
        metavar="N",
        help="images a call, repeatable (default: 1 and 64)",
    )
    group.addoption(
        "--guidance",
        action="append",
        type=float,
        metavar="W",
        help="guidance scale, repeatable (default: 0)",
    )
    group.addoption("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    group.addoption("--precision", default="auto", help="auto, fp32 or bf16 (default: auto)")
    group.addoption(
        "--seconds",
        type=float,
        default=1.0,
        metavar="S",
        help="time for the calls of one cell, or the steps of one training (default: 1)",
    )
    group.addoption(
        "--min-calls",
        type=int,
        default=3,
        metavar="N",
        help="calls timed even where they take longer (default: 3)",
    )
