"""Train a flow for longer than the learned reverses' own, and draw from it denoised at the end."""

from functools import partial

import torch

from baselines import CLEAN_INVERSE, TarFlow, make_sampler
from baselines.tarflow.training import flow_spec, likelihood_loss
from nfbench.config import ForwardConfig, build
from nfbench.data.datasets import load_section
from nfbench.files import sha256_file
from nfbench.job import job
from nfbench.measure.budget import measure_while_training, write_curve
from nfbench.measure.scores import read_references, scores
from nfbench.train.resumable import Place, training

with job(snakemake.log[0], snakemake.threads) as report:
    chosen, output = snakemake.params, snakemake.output[0]
    config = build(ForwardConfig, chosen.forward)
    place = Place.chosen(chosen.device, chosen.precision, chosen.compile)
    splits = load_section(chosen.data)
    classifier = snakemake.input.classifier
    references = read_references(snakemake.input.references, classifier)
    torch.manual_seed(chosen.seed)
    with training(
        TarFlow(flow_spec(config, splits)).to(place.device),
        likelihood_loss(config.label_drop),
        splits.train,
        config.training,
        place=place,
        seed=chosen.seed,
        output=output,
        told_by={
            "data": chosen.data,
            "forward": chosen.forward,
            "n": chosen.n_samples,
            "judges": [sha256_file(path) for path in (classifier, *snakemake.input.references)],
        },
        evaluate=measure_while_training(
            lambda flow: make_sampler(CLEAN_INVERSE, flow),
            seed=chosen.seed,
            n=chosen.n_samples,
            batch_size=chosen.batch_size,
            device=place.device,
            score=partial(scores, references=references, classifier=classifier, device=place.device),
        ),
        report=report,
    ) as trained:
        write_curve(
            output, trained.curve, place, arm=CLEAN_INVERSE, seed=chosen.seed, n_samples=chosen.n_samples
        )
