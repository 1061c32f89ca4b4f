"""Start a training from a finished pipeline: its weights become the first checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL

from ...errors import UserError, first_line
from .autoencoder import CHECKPOINT as AUTOENCODER
from .autoencoder import build_autoencoder
from .checkpoint import save_checkpoint
from .loop import CHECKPOINT as DENOISER
from .loop import Student
from .recipe import Recipe
from .students import new_student


def read_start(pipeline: Path, recipe: Recipe, folder: Path) -> tuple[AutoencoderKL, Student]:
    """The pipeline's weights in the recipe's networks. Nothing is written.

    For the case that only the weights are left of an earlier training; its optimizers' state is not in them. Raises UserError when
    `folder` already has checkpoints, or the pipeline is not of the recipe's shape.
    """
    if any((folder / name).exists() for name in (AUTOENCODER, DENOISER)):
        raise UserError(f"{folder} already holds checkpoints: leave out --init to continue them, or use another --out")
    vae, student = _autoencoder_of(pipeline, recipe), new_student(recipe)
    try:
        for name, part in student.parts().items():
            kind: Any = type(part)
            part.load_state_dict(kind.from_pretrained(pipeline, subfolder=name).float().state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{pipeline}: not a pipeline of this recipe's shape ({first_line(error)})") from error
    return vae, student


def read_autoencoder(pipeline: Path, recipe: Recipe, folder: Path) -> AutoencoderKL:
    """The pipeline's autoencoder alone, in the recipe's network. Nothing is written. Raises UserError as `read_start` does."""
    if (folder / AUTOENCODER).exists():
        raise UserError(f"{folder} already holds an autoencoder: leave out --autoencoder to continue with it, or use another --out")
    return _autoencoder_of(pipeline, recipe)


def _autoencoder_of(pipeline: Path, recipe: Recipe) -> AutoencoderKL:
    vae = build_autoencoder(recipe)
    try:
        vae.load_state_dict(AutoencoderKL.from_pretrained(pipeline, subfolder="vae").float().state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{pipeline}: has no autoencoder of this recipe's shape ({first_line(error)})") from error
    return vae


def write_autoencoder(vae: AutoencoderKL, recipe: Recipe, folder: Path) -> None:
    """Write the checkpoint of a complete autoencoder into `folder`."""
    save_checkpoint(folder / AUTOENCODER, vae, {}, recipe.autoencoder.crops // recipe.autoencoder.batch)


def write_start(vae: AutoencoderKL, student: Student, recipe: Recipe, folder: Path) -> None:
    """Write checkpoints into `folder` that hold these weights: a complete autoencoder, a network at step 0."""
    write_autoencoder(vae, recipe, folder)
    average = {k: v.detach() for k, v in student.named_parameters()}
    save_checkpoint(folder / DENOISER, student, {}, 0, **average)
