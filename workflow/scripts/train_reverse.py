"""Train a reverse model against its frozen flow."""

from baselines.tarflow.checkpoint import load_flow
from biflow.recipes import RECIPES
from nfbench.config import ReverseConfig
from nfbench.data.datasets import load_section
from nfbench.files import sha256_file
from nfbench.measurements import write_rows
from nfbench.provenance import config_hash, provenance
from nfbench.runtime import Runtime
from nfbench.script import script
from nfbench.train.trainer import curve_rows, training

with script(snakemake.log[0], snakemake.threads) as report:
    params, output = snakemake.params, snakemake.output
    config = ReverseConfig.model_validate(params.model)
    recipe = RECIPES[config.objective]
    runtime = Runtime.resolve(params.device, params.precision, params.compile)
    name, seed = snakemake.wildcards.model, int(snakemake.wildcards.seed)
    splits = load_section(params.data)
    flow = load_flow(snakemake.input.flow).to(runtime.device)
    flow_sha256 = sha256_file(snakemake.input.flow)
    classifier = snakemake.input.classifier or None

    with training(
        recipe.make(config, flow, splits.train, seed),
        recipe.loss(config, flow, classifier),
        splits.train,
        config.training,
        runtime=runtime,
        seed=seed,
        output=output.weights,
        fingerprint={
            "reverse": params.model,
            "flow": flow_sha256,
            "classifier": sha256_file(classifier) if classifier else None,
            "code": params.fingerprint,
        },
        frozen=flow,
        checkpoints=config.checkpoints,
        evaluate=recipe.validation_measure(flow, splits.validation),
        report=report,
    ) as trained:
        made = provenance(runtime.device, runtime.precision)
        about = {
            "training": {
                "seconds": trained.seconds,
                "seed": seed,
                "steps": config.training.steps,
                "devices": trained.devices,
                "feature_spaces_in_loss": recipe.feature_spaces_in_loss(config),
                "config": config_hash(params.model),
                "flow_sha256": flow_sha256,
            },
            "provenance": made,
        }
        write_rows(output.rows, curve_rows(trained, name, seed), made)
        recipe.save(output.weights, trained.model, about, trained.kept)
