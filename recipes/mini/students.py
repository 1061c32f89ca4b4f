"""Which network a recipe trains."""

from __future__ import annotations

from .denoiser import Denoiser
from .loop import Student
from .recipe import Recipe
from .transformer import Transformer

STUDENTS: dict[str, type[Denoiser] | type[Transformer]] = {"unet": Denoiser, "transformer": Transformer}


def new_student(recipe: Recipe) -> Student:
    """The recipe's network and text encoders, with weights drawn from torch's generator."""
    return STUDENTS[recipe.network](recipe)
