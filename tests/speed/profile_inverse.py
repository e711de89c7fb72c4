"""Print where the time of one sampling call goes on the CPU, operator by operator, to see what bounds it.

    python tests/speed/profile_inverse.py --sampler sequential-static --batch-size 1 --guidance 0

With random weights, of the default experiment's architecture. The profiler adds about as much to every
operator, so that short ones look slower than they are.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from build import build, inputs_of, requests_by_hand
from torch.profiler import ProfilerActivity, profile

from nfbench.errors import UserError
from nfbench.measure.speed.timer import warm_up


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sampler", default="sequential-static", metavar="NAME", help="sampler type")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="images a call")
    parser.add_argument("--guidance", type=float, default=0.0, metavar="W", help="guidance scale")
    parser.add_argument("--top", type=int, default=15, metavar="N", help="operators to list")
    return parser.parse_args()


def main() -> None:
    """Profile what the command line names."""
    options, device = read_options(), torch.device("cpu")
    try:
        (request,) = requests_by_hand([options.sampler], {})
        sampler, _ = build(request, device, "fp32")
        inputs = inputs_of(sampler, options.batch_size, device)
        warm = warm_up(lambda: sampler.sample(*inputs, options.guidance), device)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        sampler.sample(*inputs, options.guidance)
    print(f"{options.sampler}: {1e3 * warm.seconds:.2f} ms a call without the profiler")
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=options.top))


if __name__ == "__main__":
    main()
