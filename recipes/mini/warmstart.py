"""Starts a training from a finished pipeline, whose weights become the first checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel

from seediff.errors import UserError, first_line
from seediff.files.documents import read_json
from seediff.files.outputs import write_atomic
from seediff.files.reading import SETTINGS
from seediff.models.trust import OWN_ATTENTION, check_parts

from .autoencoder import CHECKPOINT as AUTOENCODER
from .autoencoder import build_autoencoder
from .checkpoint import save_checkpoint
from .deepen import deepen
from .denoiser import Denoiser
from .loop import CHECKPOINT as DENOISER
from .loop import Student
from .recipe import Recipe
from .transformer import Transformer

ORIGIN = "start.json"
"""The file with the `Origin`, in the folder of a training that started from a pipeline."""
THIS, EARLIER = "of this recipe", "of an earlier recipe"
"""What a history calls the recipe stored beside it, and what it calls that recipe after another has replaced it."""


@dataclass(frozen=True)
class Origin:
    """What a training keeps of the pipeline that it started from.

    samples: number of samples that its weights had seen. history: how they were trained. preset: its constants, which
    are better than none. scaling: the factor of its latents, which its network needs; None: the factor is computed from
    the new scenes.
    """

    samples: int = 0
    history: str = ""
    preset: dict[str, Any] = field(default_factory=dict)
    scaling: float | None = None

    def about(self, seen: int, preset: dict[str, Any]) -> dict[str, Any]:
        """Entries for the new pipeline's seediff.json after `seen` further samples. preset: used if the origin has
        none.
        """
        if not self.samples:
            return {"samples": seen, "preset": preset}
        before = self.history.replace(THIS, EARLIER) or f"{self.samples:,} samples of a pipeline that says no more"
        history = f"{before}; then {seen:,} {THIS}"
        return {"samples": self.samples + seen, "preset": self.preset or preset, "history": history}


def read_origin(folder: Path) -> Origin:
    """The origin of the training in `folder`; an empty origin if the training started from random weights."""
    path = folder / ORIGIN
    return read_json(path, Origin, limit=SETTINGS) if path.is_file() else Origin()


def origin_of(pipeline: Path) -> Origin:
    """The origin that a pipeline describes: in its seediff.json, if it has one, and in its autoencoder's configuration
    (scaling).
    """
    path = pipeline / "seediff.json"
    said = read_json(path, dict[str, Any], limit=SETTINGS) if path.is_file() else {}
    kept = {
        key: said[key]
        for key, kind in (("samples", int), ("history", str), ("preset", dict))
        if isinstance(said.get(key), kind)
    }
    scaling = read_json(pipeline / "vae" / "config.json", dict[str, Any], limit=SETTINGS).get("scaling_factor")
    return Origin(**kept, scaling=scaling if isinstance(scaling, float) else None)


def read_start(pipeline: Path, recipe: Recipe, folder: Path) -> tuple[AutoencoderKL, Student, Origin]:
    """The pipeline's weights in the recipe's networks, and its origin. Writes nothing.

    This is for earlier trainings of which only the weights are left, without the optimizers' states. A UNet with one
    layer per block can start a deeper one (see deepen.py). Raises UserError if `folder` already has checkpoints, if the
    pipeline is not of the recipe's shape, or if the recipe would train only a UNet's inner levels.
    """
    if any((folder / name).exists() for name in (AUTOENCODER, DENOISER)):
        raise UserError(f"{folder} already holds checkpoints: leave out --init to continue them, or use another --out")
    if recipe.network == "unet" and recipe.schedule.coarse_samples:
        raise UserError(
            "coarse_samples",
            f"{recipe.schedule.coarse_samples} would train the inner levels without the outer one, which the pipeline "
            "has: set coarse_samples = 0 in [denoiser] of --config",
        )
    vae, student = _autoencoder_of(pipeline, recipe), new_student(recipe)
    check_parts(pipeline, student.parts())
    try:
        for name, part in student.parts().items():
            kind: Any = type(part)
            options = OWN_ATTENTION if name.startswith("text_encoder") else {}
            weights = kind.from_pretrained(pipeline, subfolder=name, use_safetensors=True, **options).float()
            there, wanted = getattr(weights.config, "layers_per_block", 0), recipe.denoiser.layers
            if isinstance(part, UNet2DConditionModel) and there > wanted:
                raise UserError(
                    f"{pipeline}: has {there} layers per block, the recipe {wanted}: set layers in [denoiser] of"
                    " --config"
                )
            if isinstance(part, UNet2DConditionModel) and there == 1 < wanted:
                deepen(part, weights.state_dict())
            else:
                part.load_state_dict(weights.state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{pipeline}: not a pipeline of this recipe's shape ({first_line(error)})") from error
    return vae, student, origin_of(pipeline)


def read_autoencoder(pipeline: Path, recipe: Recipe, folder: Path) -> AutoencoderKL:
    """The pipeline's autoencoder in the recipe's network. Writes nothing. Raises UserError like `read_start`."""
    if (folder / AUTOENCODER).exists():
        raise UserError(
            f"{folder} already holds an autoencoder: leave out --autoencoder to continue with it, or use another --out"
        )
    return _autoencoder_of(pipeline, recipe)


def _autoencoder_of(pipeline: Path, recipe: Recipe) -> AutoencoderKL:
    vae = build_autoencoder(recipe)
    check_parts(pipeline, ("vae",))
    try:
        weights = AutoencoderKL.from_pretrained(pipeline, subfolder="vae", use_safetensors=True).float()
        vae.load_state_dict(weights.state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{pipeline}: has no autoencoder of this recipe's shape ({first_line(error)})") from error
    return vae


def write_autoencoder(vae: AutoencoderKL, recipe: Recipe, folder: Path) -> None:
    """Write the autoencoder to `folder` as the checkpoint of a complete training."""
    save_checkpoint(folder / AUTOENCODER, vae, {}, recipe.autoencoder.crops // recipe.autoencoder.batch)


def write_start(vae: AutoencoderKL, student: Student, origin: Origin, recipe: Recipe, folder: Path) -> None:
    """Write the origin and these weights to `folder`: checkpoints of a complete autoencoder and of a network at step
    0.
    """
    write_atomic(folder / ORIGIN, json.dumps(asdict(origin), indent=2).encode())
    write_autoencoder(vae, recipe, folder)
    average = {k: v.detach() for k, v in student.named_parameters()}
    save_checkpoint(folder / DENOISER, student, {}, 0, **average)


STUDENTS: dict[str, type[Denoiser] | type[Transformer]] = {"unet": Denoiser, "transformer": Transformer}


def new_student(recipe: Recipe) -> Student:
    """The recipe's network and text encoders, with random weights from torch's generator."""
    return STUDENTS[recipe.network](recipe)
