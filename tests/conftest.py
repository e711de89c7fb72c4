"""Options of the speed suite; pytest reads options from the first conftest.py only."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/speed."""
    group = parser.getgroup("speed", "tests/speed, which runs with --benchmark-only")
    _add_contestants(group)
    _add_protocol(group)


def _add_contestants(group: pytest.OptionGroup) -> None:
    """Add the options that say what is timed."""
    group.addoption(
        "--sampler",
        action="append",
        metavar="NAME",
        help="sampler to time, repeatable (default: all); ratios are of their own contestants",
    )
    group.addoption(
        "--sampler-options",
        default="{}",
        metavar="JSON",
        help="options of the samplers, e.g. '{\"tau\": 0.01}' (default: none)",
    )
    group.addoption(
        "--forward-checkpoint",
        metavar="PATH",
        help="flow of the samplers that invert one (default: random weights); ratios: that of Jacobi",
    )
    group.addoption(
        "--reverse-checkpoint",
        metavar="PATH",
        help="model of the learned samplers (default: random weights)",
    )
    group.addoption(
        "--batch-size",
        action="append",
        type=int,
        metavar="N",
        help="images per call, repeatable (default: 1 for latency and 64 for throughput; 4 too for the"
        " ratios of exact inverses)",
    )
    group.addoption(
        "--guidance",
        type=float,
        default=0.0,
        metavar="W",
        help="scale of guidance (default: 0); ratios are measured at 0 and at 1",
    )


def _add_protocol(group: pytest.OptionGroup) -> None:
    """Add the options that say where and for how long."""
    group.addoption("--device", default="cpu", help="auto, cpu or cuda (default: cpu)")
    group.addoption(
        "--min-rounds",
        type=int,
        default=5,
        metavar="N",
        help="fewest timed calls per sampler and batch size, or rounds of a ratio (default: 5)",
    )
    group.addoption(
        "--max-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="time for the calls of one sampler and batch size, or the rounds of a ratio, unless --min-rounds"
        " needs more; warming up may take half as much again (default: 10)",
    )
    group.addoption(
        "--protocol-guidance",
        action="append",
        type=float,
        metavar="W",
        help="scale of guidance of test_protocol.py, repeatable (default: 0 and 1)",
    )
    group.addoption(
        "--work",
        action="store_true",
        help="test_protocol.py: also count FLOPs, time products of the same shapes and read the energy",
    )
