"""Train a flow."""

from baselines.tarflow.checkpoint import save_flow
from baselines.tarflow.training import flow_spec, likelihood_loss, new_flow, state_rms, validation_measure
from nfbench.config import FlowConfig
from nfbench.data.datasets import load_section
from nfbench.measurements import row, write_rows
from nfbench.provenance import config_hash, provenance
from nfbench.runtime import Runtime
from nfbench.script import script
from nfbench.train.trainer import curve_rows, training

with script(snakemake.log[0], snakemake.threads) as report:
    params, output = snakemake.params, snakemake.output
    config = FlowConfig.model_validate(params.flow)
    runtime = Runtime.resolve(params.device, params.precision, params.compile)
    name, seed = snakemake.wildcards.flow, int(snakemake.wildcards.seed)
    splits = load_section(params.data)

    with training(
        new_flow(flow_spec(config, splits), seed).to(runtime.device),
        likelihood_loss(config.class_dropout_prob),
        splits.train,
        config.training,
        runtime=runtime,
        seed=seed,
        output=output.weights,
        fingerprint={"data": params.data, "flow": params.flow, "code": params.fingerprint},
        checkpoints=config.checkpoints,
        evaluate=validation_measure(splits.validation),
        report=report,
    ) as trained:
        rms = state_rms(trained.model, splits.validation)
        report("RMS of x_0 and of the state after each block: " + ", ".join(f"{r:.3f}" for r in rms))
        made = provenance(runtime.device, runtime.precision)
        about = {
            "training": {
                "seconds": trained.seconds,
                "seed": seed,
                "steps": config.training.steps,
                "devices": trained.devices,
                "config": config_hash(params.flow),
            },
            "provenance": made,
        }
        rows = curve_rows(trained, name, seed)
        rows += [row(f"state_rms_{i}", value, sampler=name, seed=seed) for i, value in enumerate(rms)]
        write_rows(output.rows, rows, made)
        save_flow(output.weights, trained.model, about, trained.kept)
