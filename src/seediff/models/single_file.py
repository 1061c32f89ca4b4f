"""Single files of weights (Civitai, A1111, ComfyUI, GGUF), which replace parts of a whole model, their *base*.

Everything else comes from the base, a model in diffusers' format: configurations, tokenizers, the scheduler, and
missing parts. In a single file, tensors have the names of the original authors' code; the network's usually begin with
`model.diffusion_model.`. By these names SeeDiff recognises the base before it fetches anything. diffusers' converters
rename the tensors. Tensors whose names or shapes do not fit the base's configuration are refused, because libraries
would fill missing tensors with random numbers.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

from ..errors import Notice, UserError, first_line
from ..files.messages import plural
from ..files.tensors import Tensor, read_gguf_header, read_header
from .audit import ADDED, SCALE, misfit, not_finite, scale_among, stored_problem, unread
from .families import families
from .families.family import Family
from .hub import fetch_file
from .no_code import OWN_ATTENTION
from .weights import damaged

T = TypeVar("T")

NETWORK = "model.diffusion_model."
"""The prefix of the names of the network's tensors in most single files."""
NEVER_READ = re.compile(
    r"norm_final\.weight|pos_embed|y_embedder\.y_embedding|attn_mask|transformer\.resblocks\.(23\..+|.+\.in_proj_\w+)"
)
"""Matches the names of tensors that converters drop because the part computes them, or does not need them: of Lumina,
Sana and OpenCLIP. They detach OpenCLIP's in_proj, so that it would seem dropped."""

OF_TRAINING = re.compile(
    r"(model_ema|loss)\.|betas|alphas|sqrt|log_|logvar|posterior|denoiser|lvlb|scale_factor|edm|v_pred|ztsnr"
)
"""Matches the beginnings of names outside of all parts that training or a scheduler reads, or `follow_marks`."""
NO_SCALES = "take the file in float16, bfloat16 or plain float8, or a .gguf"
"""What to do about quantised weights."""
T5_PREFIX = "text_encoders.t5xxl.transformer."
CLIP_L = "text_encoders.clip_l.transformer."
PREFIXES = {
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": (
        "cond_stage_model.transformer.", "cond_stage_model.model.", "conditioner.embedders.0.transformer.", CLIP_L
    ),
    "text_encoder_2": ("conditioner.embedders.1.model.", "text_encoders.clip_g.transformer."),
    "text_encoder_3": (),
}  # fmt: skip
"""Part other than the network → the prefixes that the names of its tensors may have. A T5's names begin with T5_PREFIX
instead."""


@dataclass(frozen=True)
class Checkpoint:
    """A single file of weights on this machine. Only its header has been read."""

    path: Path
    tensors: Mapping[str, Tensor]
    """Name → shape and type of a tensor."""
    prefix: str
    """The prefix of the names of the network's tensors."""
    place: ClassVar[str] = "the file"
    """Where the weights are, for messages such as "unet from the file"."""

    @property
    def is_gguf(self) -> bool:
        """Whether this is a GGUF file, which has llama.cpp's quantised formats."""
        return self.path.suffix == ".gguf"

    def fetched(self) -> Checkpoint:
        return self

    def base(self) -> str:
        """The short name of the model from which the weights were made, by the names of the tensors. Raises UserError
        if they do not decide it."""
        tensors = {name.removeprefix(self.prefix) for name in self.tensors}
        known = chain.from_iterable(family.single_files.items() for family in families())
        fitting = [(len(has), names) for has, names in known if tensors.issuperset(has)]
        most = max((count for count, _ in fitting), default=0)
        names = [*chain.from_iterable(names for count, names in fitting if count == most)]
        if not names:
            problem = f"{self.path}: no known model has tensors with these names"
            raise UserError("model", problem, "give its base; a LoRA is for lora")
        if len(names) != 1 or "edm_mean" in self.tensors:  # of Playground 2.5, which has noise levels of its own
            raise UserError("model", f"{self.path}: may be made from {' or '.join(names)}, or another", "give its base")
        return names[0]

    def parts(self, family: Family, index: Mapping[str, Any]) -> dict[str, str]:
        """Part of the pipeline that the file has → the prefix of its tensors' names. family: the base's. index:
        the base's model_index.json; if it is empty, only the network is found."""
        found = {family.network_part: self.prefix}
        for part, prefixes in PREFIXES.items():
            entry = index.get(part)  # [library, class]
            class_in_base = entry[-1] if isinstance(entry, list) and entry else None
            if class_in_base == "T5EncoderModel":
                prefixes = (T5_PREFIX,)
            elif class_in_base is None or (part == "vae" and class_in_base != "AutoencoderKL"):
                prefixes = ()
            matches = [prefix for prefix in prefixes if any(name.startswith(prefix) for name in self.tensors)]
            if matches:
                found[part] = matches[0]
        return found

    def load(self, family: Family, folder: Path, index: Mapping[str, Any], dtype: str, name: str) -> dict[str, Any]:
        """Part → its loaded module, for all parts that the file has and the base lists. family, folder, index: the
        base's; index is its model_index.json. dtype: the number format. name: the model's name, for messages. Raises
        UserError for tensors that are missing, have other shapes, or do not belong to the base."""
        import diffusers
        import torch
        import transformers
        from diffusers.models.model_loading_utils import load_gguf_checkpoint

        gguf, prefixes = self.is_gguf, self.parts(family, index)
        for part, prefix in prefixes.items():
            problem = stored_problem(_below(prefix, self.tensors))
            if problem:
                raise UserError("model", f"{self.path}: in its {part}, {problem}", NO_SCALES)
        used = tuple(prefixes.values())
        unused = [each for each in sorted(self.tensors) if not (each.startswith(used) or OF_TRAINING.match(each))]
        for each in filter(ADDED.search, unused):
            raise UserError("model", f"{self.path}: {each[:80]} changes a network, and nothing reads it", NO_SCALES)
        if unused:
            text = f"{self.path}: nothing reads {plural(len(unused), 'tensor')}, the first {unused[0][:80]}"
            warnings.warn(text, Notice, stacklevel=2)
        stored = load_gguf_checkpoint(str(self.path)) if gguf else read_header(self.path).load("pt")
        number, parts = getattr(torch, dtype), dict[str, Any]()
        for part, prefix in prefixes.items():
            library, kind = index[part]
            tensors = _below(prefix, stored)
            try:
                if library == "transformers":
                    kind = getattr(transformers, kind)
                    parts[part] = _text_encoder(kind, tensors, prefix, folder, part, number)
                else:
                    kind = getattr(diffusers, kind)
                    parts[part] = _diffusers_part(kind, tensors, gguf, folder / part, number)
            except Exception as error:  # unexpected shapes or names may raise anything
                problem = f"{self.path}: its {part} cannot be read ({first_line(error)})"
                fix = "download that file again, or give the model that it was made from as its base"
                raise UserError("model", problem, fix) from error
            problem = not_finite(parts[part])
            if problem:
                raise damaged(name, part, problem)
        return parts


@dataclass(frozen=True)
class HubFile:
    """A single file on the hub that is not in the cache yet."""

    hub_id: str
    file: str
    path: ClassVar[None] = None
    place: ClassVar[str] = "the hub"

    @property
    def is_gguf(self) -> bool:
        return self.file.endswith(".gguf")

    def base(self) -> str:
        """Raises UserError: the base can be recognised only after the file was fetched."""
        problem = f"{self.hub_id}/{self.file}: no such file, neither here nor in the hub's cache"
        raise UserError("model", problem, "to fetch a file of the hub, give its base as well")

    def parts(self, family: Family, index: Mapping[str, Any]) -> list[str]:
        """Only the network, as long as the file is not here. family, index: as in `Checkpoint.parts`."""
        return [family.network_part]

    def fetched(self) -> Checkpoint:
        """The same file after it was fetched. Raises UserError."""
        return read_checkpoint(fetch_file(self.hub_id, self.file))


SingleFile = Checkpoint | HubFile


def read_checkpoint(path: Path) -> Checkpoint:
    """The `Checkpoint` of a file, whose header is read. Raises UserError if the header cannot be read or has no
    tensors, and for unsupported quantisation."""
    if path.suffix == ".gguf":
        for package in ("gguf", "accelerate"):
            if find_spec(package) is None:
                raise UserError("model", f"{path}: needs {package}", "pip install 'seediff[gguf]'")
        tensors = read_gguf_header(path)
    else:
        tensors = read_header(path).tensors
    if not tensors:
        raise UserError("model", f"{path}: has no tensors", "download that file again")
    scaled = scale_among(tensors) or next(filter(SCALE.search, tensors), "")
    if scaled:
        problem = f"{path}: has an unsupported quantisation ({scaled[-80:]})"
        raise UserError("model", problem, NO_SCALES)
    prefix = NETWORK if any(name.startswith(NETWORK) for name in tensors) else ""
    return Checkpoint(path, tensors, prefix)


def _below(prefix: str, named: Mapping[str, T]) -> dict[str, T]:
    """The entries whose names begin with a prefix, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}


def _diffusers_part(kind: Any, tensors: dict[str, Any], gguf: bool, folder: Path, dtype: Any) -> Any:
    """A loaded network or autoencoder. kind: its class. tensors: name without prefix → tensor. gguf: whether they are
    from a GGUF file. folder: the part's folder in the base, with its config.json. dtype: torch's number format. Raises
    ValueError for tensors that do not fit."""
    import torch
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    config = kind.load_config(str(folder), local_files_only=True)
    with torch.device("meta"):
        empty = kind.from_config(config)
    wanted, left = empty.state_dict().keys(), set[str]()

    # 1. From another program's names to diffusers'
    if not wanted <= tensors.keys():
        start = NETWORK if kind.__name__ == "UNet2DConditionModel" else ""  # its converter expects the prefix
        change = SINGLE_FILE_LOADABLE_CLASSES[kind.__name__]["checkpoint_mapping_fn"]
        tensors, left = _renamed(
            lambda named: change(checkpoint={start + name: named[name] for name in named}, config=config), tensors
        )

    # 2. Only the tensors of the part, and all of them
    info = {"missing_keys": wanted - tensors.keys(), "unexpected_keys": left | (tensors.keys() - wanted)}
    _check({**info, "mismatched_keys": ()}, empty, folder.name)
    tensors = {name: tensors[name] for name in tensors if name in wanted}

    # 3. GGUF: only linear layers compute with quantised weights
    more = {}
    if gguf:
        from diffusers import GGUFQuantizationConfig
        from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

        linear = {f"{layer}.weight" for layer, module in empty.named_modules() if isinstance(module, torch.nn.Linear)}
        tensors = {name: of if name in linear else dequantize_gguf_tensor(of) for name, of in tensors.items()}
        more = {"quantization_config": GGUFQuantizationConfig(compute_dtype=dtype)}
    return kind.from_single_file(tensors, config=str(folder), local_files_only=True, dtype=dtype, **more)


def _text_encoder(kind: Any, tensors: dict[str, Any], prefix: str, folder: Path, part: str, dtype: Any) -> Any:
    """A loaded text encoder: T5, or CLIP with transformers' or OpenCLIP's names. kind: its class. tensors: name without
    prefix → tensor. prefix: what the names began with. folder: the base's. part: the text encoder's name. dtype:
    torch's number format. Raises ValueError for tensors that do not fit."""
    import torch
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint as change

    config = kind.config_class.from_pretrained(str(folder), subfolder=part, local_files_only=True)
    projection, left = "text_projection.weight", set[str]()
    if prefix.endswith(".model."):  # OpenCLIP's names
        like = SimpleNamespace(config=config)
        tensors, left = _renamed(
            lambda named: change(like, {prefix + name: named[name] for name in named}, prefix), tensors
        )
    elif prefix == CLIP_L and kind.__name__.endswith("WithProjection") and projection not in tensors:
        like = tensors["text_model.final_layer_norm.weight"]
        tensors[projection] = torch.eye(len(like), dtype=like.dtype)  # what SD 3's files omit is the identity
    loading: dict[str, Any] = {"config": config, "dtype": dtype, "output_loading_info": True, **OWN_ATTENTION}
    loaded, info = kind.from_pretrained(None, state_dict=tensors, **loading)
    _check({**info, "unexpected_keys": left | set(info["unexpected_keys"])}, loaded, part)
    return loaded


def _renamed(convert: Callable[[dict[str, Any]], Any], tensors: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """(converted, left). converted: the tensors under other names. left: the names of tensors that the converter
    dropped, without those of NEVER_READ."""
    left = {name for name in unread(convert, tensors) if not NEVER_READ.fullmatch(name)}
    return convert(tensors), left


def _check(info: Mapping[str, Any], module: Any, part: str) -> None:
    """Raise ValueError for tensors that `misfit` refuses. Its arguments are the same."""
    problem = misfit(info, module, part, f"the file, {part}")
    if problem:
        raise ValueError(problem)
