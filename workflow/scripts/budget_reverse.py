"""Train a learned reverse, and draw from it every so often."""

from functools import partial

from baselines import load_flow
from biflow import OneStep
from biflow.recipes import RECIPES
from nfbench.config import build
from nfbench.data.datasets import load_section
from nfbench.files import sha256_file
from nfbench.job import job
from nfbench.measure.budget import measure_while_training, write_curve
from nfbench.measure.scores import read_references, scores
from nfbench.train.resumable import Place, training

with job(snakemake.log[0], snakemake.threads) as report:
    chosen, output = snakemake.params, snakemake.output[0]
    recipe = RECIPES[chosen.method]
    config = build(recipe.config, chosen.model)
    place = Place.chosen(chosen.device, chosen.precision, chosen.compile)
    splits = load_section(chosen.data)
    flow, meta = load_flow(snakemake.input.flow)
    flow.requires_grad_(False).to(place.device)
    classifier = snakemake.input.classifier
    references = read_references(snakemake.input.references, classifier)
    with training(
        recipe.make(config, flow, splits.train, chosen.seed),
        recipe.loss(config, flow, classifier),
        splits.train,
        config.training,
        place=place,
        seed=chosen.seed,
        output=output,
        told_by={
            "model": chosen.model,
            "flow": sha256_file(snakemake.input.flow),
            "n": chosen.n_samples,
            # of the loss, where it compares the classifier's features, and of the curve
            "judges": [sha256_file(path) for path in (classifier, *snakemake.input.references)],
        },
        evaluate=measure_while_training(
            lambda model: OneStep(model, chosen.method),
            seed=chosen.seed,
            n=chosen.n_samples,
            batch_size=chosen.batch_size,
            device=place.device,
            score=partial(scores, references=references, classifier=classifier, device=place.device),
        ),
        report=report,
    ) as trained:
        write_curve(
            output,
            trained.curve,
            place,
            arm=snakemake.wildcards.arm,
            method=chosen.method,
            seen_spaces=" ".join(recipe.seen_spaces(config)),
            flow_steps=meta["training"]["steps"],
            seed=chosen.seed,
            n_samples=chosen.n_samples,
        )
