"""The names that experiment files may use, and what kind of thing each of them is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nfbench.sample.contestant import contestant
from nfbench.sample.variants import Ablations, read_ablations

SCHEMA = "workflow/schemas/config.schema.yaml"
ABLATIONS = "config/ablations.yaml"
ABLATIONS_SCHEMA = "workflow/schemas/ablations.schema.yaml"


@dataclass(frozen=True)
class Vocabulary:
    """What an experiment file may name.

    Attributes:
        schema: JSON schema of experiment files.
        ablations: what tables 2 and 3 compare.
    """

    schema: dict[str, Any]
    ablations: Ablations

    @property
    def samplers(self) -> list[str]:
        """Every sampler that an experiment may draw with."""
        return self.schema["properties"]["sampling"]["properties"]["samplers"]["items"]["enum"]

    @property
    def learned_methods(self) -> list[str]:
        """The reverses that have a model of their own."""
        return list(self.schema["properties"]["reverse"]["properties"])

    def is_learned(self, sampler: str) -> bool:
        """Tell learned reverses, which have a model of their own, from the inverses that need no training."""
        return contestant(sampler).method in self.learned_methods

    def is_noisy(self, sampler: str) -> bool:
        """Tell the samplers whose images carry the flow's noise; they have a denoised form beside."""
        chosen = contestant(sampler)
        return not chosen.denoised and f"{chosen.method}+denoise" in self.samplers

    def iterative_methods(self, values: dict[str, Any]) -> list[str]:
        """Return an experiment's methods that stop at a threshold, so that it can be tuned."""
        tunable = {each.method for each in map(contestant, self.samplers) if each.variant == "tuned"}
        methods = [contestant(sampler).method for sampler in values["sampling"]["samplers"]]
        return [method for method in dict.fromkeys(methods) if method in tunable]


def read_vocabulary(root: Path) -> Vocabulary:
    """Read the schemas and config/ablations.yaml under a checkout's root.

    Raises:
        UserError: config/ablations.yaml is missing or against its schema.
    """
    schemas = [yaml.safe_load((root / path).read_text()) for path in (SCHEMA, ABLATIONS_SCHEMA)]
    return Vocabulary(schemas[0], read_ablations(root / ABLATIONS, schemas[1]))
