"""Draw denoised from the flow that the learned reverses are trained against."""

from functools import partial

from baselines import CLEAN_INVERSE, load_flow, make_sampler
from nfbench.job import job
from nfbench.measure.budget import measure_while_training, write_curve
from nfbench.measure.scores import read_references, scores
from nfbench.train.resumable import Place

with job(snakemake.log[0], snakemake.threads) as report:
    chosen, classifier = snakemake.params, snakemake.input.classifier
    place = Place.chosen(chosen.device, chosen.precision)
    references = read_references(snakemake.input.references, classifier)
    flow, meta = load_flow(snakemake.input.flow)
    measure = measure_while_training(
        lambda flow: make_sampler(CLEAN_INVERSE, flow),
        seed=chosen.seed,
        n=chosen.n_samples,
        batch_size=chosen.batch_size,
        device=place.device,
        score=partial(scores, references=references, classifier=classifier, device=place.device),
    )
    trained = {"step": meta["training"]["steps"], "seconds": meta["training"]["seconds"]}
    row = trained | measure(flow.to(place.device))
    report(str(row))
    write_curve(
        snakemake.output[0], [row], place, arm=CLEAN_INVERSE, seed=chosen.seed, n_samples=chosen.n_samples
    )
