"""What `nesting` in an embedder's block means: a rotation of the user's own, found in the artifacts' folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from nestvec._artifacts import Artifact
from nestvec.capabilities import ModelCapabilities
from nestvec.config.additions import NestingBlock
from nestvec.errors import ConfigError

#: The shortest prefix that is offered, unless the block says another: below, little is left to tell texts apart.
_LEAST, _SHARE = 32, 4


@dataclass(frozen=True, slots=True)
class Nesting:
    """A rotation for the vectors of one embedder. Its files were there when the configuration was read."""

    artifact: Artifact
    min_dimensions: int

    def applied(self, model: ModelCapabilities) -> ModelCapabilities:
        """What the model can do under the rotation, which takes the place of its plugin's own."""
        return replace(model, rotation=self.artifact.fingerprint, min_dimensions=self.min_dimensions)


def least_prefix(dimensions: int) -> int:
    """The shortest prefix that nesting offers of vectors of this length, unless told otherwise."""
    return max(1, min(_LEAST, dimensions // _SHARE))


def find_nesting(block: NestingBlock, folder: Path, model: ModelCapabilities) -> Nesting:
    """Find a block's rotation; the matrix itself is not read. Raises `ConfigError`."""
    artifact = Artifact(block.path or folder, block.rotation)
    about = artifact.describe()
    if (about.model, about.dimensions) != (model.model, model.dimensions):
        raise ConfigError(
            f"rotation {artifact.fingerprint} in {artifact.folder} is of {about.model} with {about.dimensions} "
            f"dimensions, but this embedder is {model.model} with {model.dimensions}; fit one for it: nestvec nest"
        )
    least = least_prefix(model.dimensions) if block.min_dimensions is None else block.min_dimensions
    if least > model.dimensions:
        raise ConfigError(f"min_dimensions is {least}, but {model.model} has {model.dimensions}; write less")
    return Nesting(artifact, least)
