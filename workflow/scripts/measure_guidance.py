"""Draw every contestant at every scale of guidance, and take quality and label accuracy."""

from functools import partial

from baselines import CLEAN_INVERSE, load_flow, make_sampler
from biflow import load_reverse
from nfbench.config import GuidanceConfig, build
from nfbench.data.datasets import balanced_indices, load_section
from nfbench.device import resolve_device
from nfbench.files import sha256_file, write_json
from nfbench.job import job
from nfbench.measure.guidance import sweep
from nfbench.measure.scores import facts, read_references, scores
from nfbench.provenance import provenance
from nfbench.sample.contestant import contestant
from nfbench.sample.floors import real_images
from nfbench.sample.sample_set import to_sample_set


def exact_contestants(flow, config):
    """Yield the exact inverse with one scale for all tokens, and if asked for with the annealed one."""
    yield CLEAN_INVERSE, make_sampler(CLEAN_INVERSE, flow, annealed=False), config.scales, []
    if config.annealed:
        annealed = make_sampler(CLEAN_INVERSE, flow, annealed=True)
        yield f"{CLEAN_INVERSE}, annealed", annealed, config.scales, []


def learned_contestants(method, path, config):
    """Yield a reverse by one evaluation, at the scales that it was trained with, and by two."""
    model, meta = load_reverse(path)
    sampler, seen = contestant(method).sampler, meta["training"]["seen_spaces"]
    if model.spec.guidance_max:
        trained = [scale for scale in config.scales if scale <= model.spec.guidance_max]
        yield f"{method}, one evaluation", make_sampler(sampler, model), trained, seen
    yield f"{method}, two evaluations", make_sampler(sampler, model, evaluations=2), config.scales, seen


with job(snakemake.log[0], snakemake.threads) as report:
    config = build(GuidanceConfig, snakemake.params.guidance)
    device, seed = resolve_device(snakemake.params.device), int(snakemake.wildcards.seed)
    classifier = snakemake.input.classifier
    references = read_references(snakemake.input.references, classifier)
    score = partial(scores, references=references, classifier=classifier, device=device)

    test = load_section(snakemake.params.data).test
    real = test.subset(balanced_indices(test.labels, config.n_samples, seed))
    floor = score(to_sample_set(real_images(real, 0.0, seed), {}))
    report(f"real images: {floor}")

    contestants = [*exact_contestants(load_flow(snakemake.input.flow)[0], config)]
    for method, path in zip(snakemake.params.methods, snakemake.input.reverses, strict=True):
        contestants += learned_contestants(method, path, config)
    rows = []
    options = {"seed": seed, "n": config.n_samples, "batch_size": snakemake.params.batch_size}
    for name, sampler, scales, seen in contestants:
        for row in sweep(sampler.to(device), scales, device=device, score=score, **options):
            rows.append({"contestant": name, "settings": sampler.settings, "seen_spaces": seen} | row)
            report(f"{name}: {row}")
    write_json(
        snakemake.output[0],
        {
            "experiment": snakemake.wildcards.experiment,
            "seed": seed,
            "n": config.n_samples,
            "scales": config.scales,
            "spaces": {space: facts(reference, config.n_samples) for space, reference in references.items()},
            "rows": rows,
            "floor": floor,
            "floor_sha256": real.sha256,
            "models": {path: sha256_file(path) for path in (snakemake.input.flow, *snakemake.input.reverses)},
            "provenance": provenance(device),
        },
    )
