"""Copying results, with a manifest of what they rest on, to where they are committed."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nfbench.files import atomic_path, sha256_file, write_json
from nfbench.provenance import check_device, config_hash


def keep(
    files: Mapping[str, str | Path],
    manifest: str | Path,
    measurements: Mapping[str, Mapping[str, Any]],
    *,
    experiment: str,
    device: str,
    config: Mapping[str, Any],
    also: Iterable[str | Path] = (),
) -> None:
    """Copy results made on one device, and write down their hashes and those of the measurements behind.

    Args:
        files: where each is kept, by its path.
        manifest: path of the JSON, in the folder of references.
        measurements: what the manifest tells of each file of measurements, its `provenance` among it.
        experiment: its name.
        device: what the folder is named after.
        config: of the experiment, with all defaults.
        also: files that stand beside the copies already, for the manifest.

    Raises:
        UserError: a measurement was made on another device; nothing is copied.
    """
    for path, told in measurements.items():
        check_device(path, told["provenance"], device)
    for source, target in files.items():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    folder = Path(manifest).parent
    write_json(
        manifest,
        {
            "experiment": experiment,
            "config": config,
            "config_hash": config_hash(config),
            "files": {
                str(Path(path).relative_to(folder)): sha256_file(path) for path in [*files.values(), *also]
            },
            "measurements": {
                path: {"sha256": sha256_file(path), **told} for path, told in measurements.items()
            },
        },
    )
