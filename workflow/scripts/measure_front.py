"""Time every iterative inverse at many thresholds, and take its error against the exact inverse."""

from baselines import load_flow, make_sampler
from nfbench.config import FrontConfig, build
from nfbench.data.noise import balanced_labels, latent_noise
from nfbench.device import resolve_device
from nfbench.files import read_json, write_json
from nfbench.job import job
from nfbench.measure.front import errors, times
from nfbench.measure.speed import is_busy, watch_others
from nfbench.provenance import provenance
from nfbench.sample.contestant import options_in_effect

EXACT = ("sequential", "sequential-static")
IMAGES = 64  # whose errors are averaged
IMAGES_ONE_BY_ONE = 8  # a call at batch 1 takes as many in turn, since sweeps differ from image to image
SEED = 2**32 - 1  # noise that no sample set is drawn from


def settings_of(method, config, n_tokens, tuned):
    """Return the settings of one iterative method: {what is varied, value, and which one has a name}."""
    yield {"tau": None, "mark": "published"}, {}
    yield from (({"tau": tau, "mark": None}, {"tau": tau}) for tau in config.taus)
    if tuned is not None:
        yield {"tau": tuned, "mark": "tuned"}, {"tau": tuned}
    most = sorted({sweeps for sweeps in config.sweeps if sweeps < n_tokens} | {n_tokens - 1})
    yield from (({"max_sweeps": n, "mark": None}, {"tau": 0.0, "sweeps": n}) for n in most)


with job(snakemake.log[0], snakemake.threads) as report:
    config = build(FrontConfig, snakemake.params.front)
    device = resolve_device(snakemake.params.device)
    flow, _ = load_flow(snakemake.input.flow)
    flow.to(device)
    samplers = [({"method": name, "tau": None, "mark": None}, make_sampler(name, flow)) for name in EXACT]
    for method, tuning in zip(snakemake.params.methods, snakemake.input.tuning, strict=True):
        plan = snakemake.input.plan if method == "gs-jacobi" else None
        options = options_in_effect(snakemake.params.options.get(method, {}), plan)
        for key, setting in settings_of(method, config, flow.spec.n_tokens, read_json(tuning)["tau"]):
            sampler = make_sampler(method, flow, **options | setting)
            key = {"method": method} | key | {"tau": sampler.settings["tau"]}
            samplers.append((key, sampler))
    keys, samplers = zip(*samplers, strict=True)
    n = max(IMAGES, *config.batch_sizes)
    z = latent_noise(SEED, range(n), samplers[0].latent_shape).float().to(device)
    y = balanced_labels(range(n), flow.spec.n_classes).to(device) if flow.spec.n_classes else None
    options = {"guidance": snakemake.params.guidance}
    # An image's error does not depend on the batch, so it is taken once, on all the images.
    found, rows = errors(samplers, samplers[0], z, y, **options), []
    for batch_size in config.batch_sizes:
        few = max(batch_size, IMAGES_ONE_BY_ONE)
        labels = None if y is None else y[:few]
        with watch_others() as others:
            timed = times(samplers, z[:few], labels, batch_size=batch_size, rounds=config.rounds, **options)
        busy = {"busy": is_busy(others.cores, None)}
        rows += [key | error | row | busy for key, error, row in zip(keys, found, timed, strict=True)]
        report(f"batch {batch_size}: {len(timed)} settings, {config.rounds} rounds")
    write_json(snakemake.output[0], {"rows": rows, "images": n, "provenance": provenance(device)})
