"""Single files of weights (Civitai, A1111, ComfyUI, GGUF), which replace parts of a whole model, their *base*.

diffusers reads them. Everything else comes from the base, a model in diffusers' format: configurations, tokenizers, the
scheduler, and parts that the file lacks. The names of the file's tensors say the base, or the user does."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UserError, foreign_errors
from ..files.tensors import read_header
from .families import families
from .families.family import Family
from .hub import cached_file, fetch_file
from .libraries import heard
from .weights import ADDED, check_tensors

NETWORK = "model.diffusion_model."
VAE = ("first_stage_model.", "vae.")
CLIP = ("cond_stage_model.", "conditioner.embedders.")
"""The prefixes of the names of a part's tensors. Text encoders of other files than Stable Diffusion 1's, 2's and XL's
are those of the base."""
ASK = "name the model that it was made from with --base; a LoRA is for --lora"
NOT_READ = "were not used when initializing"
"""In diffusers' messages about tensors of a file that it did not read."""


@dataclass(frozen=True)
class SingleFile:
    """A single file of weights, on this machine or on the hub."""

    name: str
    """Its path, on this machine or in the repository."""
    hub_id: str = ""
    """The repository; "" for a file on this machine."""

    @property
    def path(self) -> Path | None:
        """Where it is on this machine; None if it was not fetched yet."""
        return cached_file(self.hub_id, self.name) if self.hub_id else Path(self.name)

    @property
    def is_gguf(self) -> bool:
        """Whether this is a GGUF file, which has llama.cpp's quantised formats, and the network alone."""
        return self.name.endswith(".gguf")

    def fetch(self) -> None:
        """Fetch it if this machine lacks it. Raises UserError."""
        if self.path is None:
            fetch_file(self.hub_id, self.name)

    def base(self) -> str:
        """The short name of the model from which the weights were made, by the names of the tensors. Raises UserError
        if they do not decide it, and for a file that is not here."""
        if self.path is None:
            problem = f"{self.hub_id}/{self.name}: is not on this machine, so that its tensors cannot say its base"
            raise UserError("model", problem, ASK)
        names = {name.removeprefix(NETWORK) for name in self.tensors()}
        known = chain.from_iterable(family.single_files.items() for family in families())
        fitting = [(len(has), made_from) for has, made_from in known if names.issuperset(has)]
        most = max((count for count, _ in fitting), default=0)
        bases = [*chain.from_iterable(made_from for count, made_from in fitting if count == most)]
        if len(bases) != 1:
            problem = "may be made from " + " or ".join(bases)
            if not bases:
                problem = "no known model has tensors with these names"
            raise UserError("model", f"{self.path}: {problem}", ASK)
        return bases[0]

    def tensors(self) -> Collection[str]:
        """The names of its tensors; it must be here. Raises UserError for a file that cannot be read."""
        assert self.path is not None
        if not self.is_gguf:
            return read_header(self.path).tensors
        with foreign_errors(self.path, "cannot be loaded"):
            from gguf import GGUFReader  # pyright: ignore[reportMissingImports]

            return [tensor.name for tensor in GGUFReader(self.path).tensors]

    def parts(self, family: Family, index: Mapping[str, Any]) -> list[str]:
        """The parts that are read from the file; as long as it is not here, only the network. family: the base's.
        index: the base's model_index.json. Raises UserError for a file that cannot be read, and for unsupported
        quantisation."""
        found = [family.network_part]
        if self.path is None or self.is_gguf:
            return found
        names = self.tensors()
        for name in filter(ADDED.search, names):
            fix = "take the file in float16, bfloat16 or plain float8, or a .gguf"
            raise UserError("model", f"{self.path}: has {name[-80:]}, of an unsupported quantisation or a LoRA", fix)
        if any(name.startswith(VAE) for name in names):
            found.append("vae")
        if any(name.startswith(CLIP) for name in names):
            found += [part for part in index if part.startswith("text_encoder")]
        return found

    def load(self, names: Collection[str], folder: Path, index: Mapping[str, Any], dtype: str) -> dict[str, Any]:
        """Part → its loaded module. names: from `parts`. folder, index: the base's. dtype: the number format. Raises
        UserError for a file that does not belong to the base."""
        import torch
        from diffusers import GGUFQuantizationConfig
        from diffusers.loaders.single_file import load_single_file_sub_model
        from diffusers.loaders.single_file_utils import load_single_file_checkpoint

        parts = dict[str, Any]()
        options: dict[str, Any] = {"local_files_only": True, "torch_dtype": getattr(torch, dtype)}
        if self.is_gguf:
            options["quantization_config"] = GGUFQuantizationConfig(compute_dtype=getattr(torch, dtype))
        assert self.path is not None
        with foreign_errors(self.path, "cannot be loaded"):
            stored: dict[str, Any] = load_single_file_checkpoint(str(self.path))  # type: ignore[assignment]
            network = {name.removeprefix(NETWORK): stored[name] for name in stored if name.startswith(NETWORK)}
            for part in names:
                # diffusers expects the prefix of a UNet's tensors, and no prefix of a transformer's
                tensors = network if network and part == "transformer" else stored
                library, class_name = index[part]
                with heard() as said:
                    parts[part] = load_single_file_sub_model(
                        library, class_name, part, dict(tensors), None, False, str(folder), **options
                    )
                self._check_part(part, parts[part], said)
        return parts

    def _check_part(self, name: str, part: Any, said: Sequence[str]) -> None:
        """Raise UserError if the file lacks tensors of a part, or has others. name, part: the loaded part. said: what
        diffusers said while it loaded the part."""
        assert self.path is not None
        info = {
            "missing_keys": [key for key, tensor in part.state_dict().items() if tensor.is_meta],
            "unexpected_keys": [text.rpartition("\n")[2].strip(" []'") for text in said if NOT_READ in text],
            "mismatched_keys": (),
        }
        check_tensors(info, name, f"{self.path}: its {name}", () if self.is_gguf else (self.path,))
