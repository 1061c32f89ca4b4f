"""What may replace some parts of a whole model: `Replacement`, and a folder of a network alone.

Single files, here and on the hub, are in single_file.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import UserError
from ..files.documents import read_json
from .families.family import Family
from .trust import check_parts
from .weights import load_part, naming, part_files


@dataclass(frozen=True)
class Replacement:
    """The weights of some parts of a model; the other parts are the base's."""

    path: Path | None
    """The file or folder of the weights; None: not on this machine."""
    place: ClassVar[str]
    """Where the weights are, as in "unet from the file"."""

    @property
    def marks(self) -> Collection[str]:
        """Names of tensors, some of which say how the scheduler must be configured (`follow_marks`)."""
        return ()

    @property
    def is_gguf(self) -> bool:
        """Whether the weights are quantised by llama.cpp's formats."""
        return False

    def fetched(self) -> Replacement:
        """The same weights on this machine, fetched from the hub if need be. Raises UserError."""
        return self

    def weight_files(self, dtype: str) -> list[Path]:
        """The files that are loaded for a number format; empty if they are not on this machine."""
        return []

    def parts(self, family: Family, index: Mapping[str, Any]) -> Collection[str]:
        """The parts that are replaced, as far as this is known. index: the base's model_index.json."""
        return [family.network_part]

    def network_config(self) -> dict[str, Any]:
        """The config.json of the network; empty: the base's counts."""
        return {}

    def load(self, family: Family, folder: Path, index: Mapping[str, Any], dtype: str, name: str) -> dict[str, Any]:
        """Part → its loaded module. folder: the base's folder. index: the base's model_index.json. name: the model's
        name, for messages. Raises UserError."""
        raise NotImplementedError


@dataclass(frozen=True)
class NetworkFolder(Replacement):
    """The folder of a network alone, as training saves it: config.json and diffusion_pytorch_model.safetensors."""

    path: Path
    place: ClassVar[str] = "the folder"

    def weight_files(self, dtype: str) -> list[Path]:
        return part_files(self.path.parent, self.path.name, dtype)[1]

    def network_config(self) -> dict[str, Any]:
        with suppress(UserError):  # loading reports what is wrong with the file
            return read_json(self.path / "config.json", dict[str, Any])
        return {}

    def load(self, family: Family, folder: Path, index: Mapping[str, Any], dtype: str, name: str) -> dict[str, Any]:
        import diffusers

        check_parts(self.path.parent, [self.path.name])
        with naming(self.path):
            kind = getattr(diffusers, family.class_name)
            return {family.network_part: load_part(kind, self.path.parent, self.path.name, dtype, name)}
