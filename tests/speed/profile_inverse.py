"""Where the time of one sampling call goes on the CPU, to say what bounds it.

    python tests/speed/profile_inverse.py --sampler sequential-static --batch-size 1 --guidance 0

Samples from a flow with random weights, or from --forward-checkpoint, which matters to samplers that
iterate until they converge. Times are self CPU times of operators; a copy inside another operator is that
one's, and those of Jacobi's guess are among the cache's. The profiler adds about as much to every operator,
so views and Python look dearer than they are: compare with the time without it.
"""

import argparse
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from contestants import inputs, random_flow
from published_loop import PublishedLoop

from baselines import load_flow, make_sampler
from nfbench.errors import UserError
from nfbench.measure.speed import warm_up

OUTSIDE = "outside operators"
COPY = "aten::copy_"
GROUPS = {  # by name, the first that fits
    "matrix products": r"aten::(addmm|mm|bmm|baddbmm)$|mkldnn",  # with the copy of a bias
    "attention": r"attention|softmax",
    "layer norm": r"layer_norm",
    "copies into the cache": rf"^(aten::cat|aten::index_copy_|{COPY})$",
    "other copies": rf"{COPY}|_to_copy",
    "Python between operators": rf"^{OUTSIDE}$",
    "views and dispatch": (
        r"view|aten::(as_strided|select|transpose|t|permute|reshape|expand(_as)?|(un)?squeeze|slice|narrow|"
        r"chunk|split|unbind|stack|(un)?flatten|alias|empty(_like|_strided)?|resize_|resolve_conj|detach_?|"
        r"linear|matmul|to|contiguous|clone|item|_local_scalar_dense|is_nonzero|lift_fresh)$"
    ),
    "elementwise and reductions": r"aten::",
}

Times = tuple[str, float, float]  # name, self CPU time in ms and times called, both a sampling call


def group_of(operator: str) -> str:
    """Return the group that an operator belongs to."""
    fits = (name for name, pattern in GROUPS.items() if re.search(pattern, operator))
    return next(fits, "other")


def name_of(event: Any) -> str:
    """Return an operator's name; that of a copy inside another one, as of addmm's bias, says so."""
    parent = event.cpu_parent
    inside = event.name == COPY and parent is not None and parent.name != OUTSIDE
    return f"{COPY} in {parent.name}" if inside else event.name


def add_up(times: Iterable[Times]) -> list[Times]:
    """Add up what has the same name, longest first."""
    sums: dict[str, tuple[float, float]] = {}
    for name, milliseconds, count in times:
        so_far = sums.get(name, (0.0, 0.0))
        sums[name] = so_far[0] + milliseconds, so_far[1] + count
    return sorted(((name, *total) for name, total in sums.items()), key=lambda each: -each[1])


def profile_calls(call: Callable[[], object], n_calls: int) -> list[Times]:
    """Return what every operator took, averaged over sampling calls."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        for _ in range(n_calls):
            with record_function(OUTSIDE):
                call()
    events = profiler.events()
    return add_up((name_of(each), each.self_cpu_time_total / 1e3 / n_calls, 1 / n_calls) for each in events)


def show(title: str, rows: Iterable[Times], total: float) -> None:
    """Print rows of (name, ms, times called) with each one's share of a total in ms."""
    print(f"\n{title:<62} {'ms':>9} {'share':>7} {'calls':>9}")
    for name, milliseconds, count in rows:
        print(f"{name:<62} {milliseconds:9.3f} {milliseconds / total:7.1%} {count:9.0f}")


def seconds_of(call: Callable[[], object], n_calls: int) -> float:
    """Return the median time of a call, in seconds, after warming up."""
    warm_up(call, "cpu")
    times = []
    for _ in range(n_calls):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sampler", default="sequential-static", help="'published', or an inverse's name")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images per call")
    parser.add_argument("--guidance", type=float, default=0.0, metavar="W", help="scale of guidance")
    parser.add_argument("--image-size", type=int, default=14, metavar="PIXELS", help="of random weights")
    parser.add_argument("--forward-checkpoint", metavar="PATH", help="flow (default: random weights)")
    parser.add_argument("--calls", type=int, default=5, metavar="N", help="calls to average over")
    parser.add_argument("--top", type=int, default=15, metavar="N", help="operators to list")
    return parser.parse_args()


def main() -> None:
    """Profile what the command line names and print it."""
    options = read_options()
    path = options.forward_checkpoint
    try:
        flow = random_flow(options.image_size) if path is None else load_flow(path)[0]
        named = options.sampler
        sampler = PublishedLoop(flow) if named == "published" else make_sampler(named, flow)
    except (UserError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
    z, y = inputs(flow, options.batch_size, "cpu")

    def call() -> None:
        sampler.sample(z, y, options.guidance)

    seconds = seconds_of(call, options.calls)
    operators = profile_calls(call, options.calls)
    total = sum(milliseconds for _, milliseconds, _ in operators)
    print(
        f"{named}: T {flow.spec.n_tokens}, batch {options.batch_size}, guidance {options.guidance:g},"
        f" threads: {torch.get_num_threads()}, torch {torch.__version__}\n"
        f"{1e3 * seconds:.2f} ms a call, {total:.2f} ms under the profiler; what follows is of the latter"
    )
    show("group", add_up((group_of(name), *times) for name, *times in operators), total)
    show("operator", operators[: options.top], total)


if __name__ == "__main__":
    main()
