"""Compare one sample set with the reference in every feature space, and check its labels."""

from pathlib import Path

from nfbench.device import resolve_device
from nfbench.files import write_json
from nfbench.job import job
from nfbench.measure.classifier import load_classifier, predict
from nfbench.measure.comparison import compare
from nfbench.measure.features import extract_with_logits, weights_sha256
from nfbench.measure.intervals import bootstrap_mean
from nfbench.measure.quality import read_reference
from nfbench.provenance import provenance
from nfbench.sample.sample_set import read_sample_set
from nfbench.student import as_json

with job(snakemake.log[0], snakemake.threads) as report:
    device = resolve_device(snakemake.params.device)
    samples = read_sample_set(snakemake.input.samples)
    classifier = snakemake.input.classifier
    result = {"samples": samples.meta, "spaces": {}, "label_accuracy": None}
    result |= {"label_accuracy_over_samples": None, "reason": None}
    if samples.meta["non_finite"]:
        result["reason"] = f"{samples.meta['non_finite']} of {samples.meta['n']} images are not finite"
        report(f"not measured: {result['reason']}")
    else:
        for path in snakemake.input.references:
            space = Path(path).stem
            reference = read_reference(path, expect_weights_sha256=weights_sha256(space, classifier))
            features, logits = extract_with_logits(
                space,
                samples.images,
                classifier=classifier,
                device=device,
                report=report,
            )
            result["spaces"][space] = compare(
                features,
                reference,
                logits,
                kid_subsets=snakemake.params.kid_subsets,
                half_pairs=snakemake.params.half_pairs,
            )
            report(f"{space}: {result['spaces'][space]}")
        if (samples.labels >= 0).all():
            model = load_classifier(classifier).to(device)
            right = predict(model, samples.images) == samples.labels
            result["label_accuracy"] = float(right.mean())
            result["label_accuracy_over_samples"] = as_json(bootstrap_mean(right))
    result["provenance"] = provenance(device)
    write_json(snakemake.output[0], result)
