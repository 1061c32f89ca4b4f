"""Stable Diffusion 1 and 2: the reference attention of their twins."""

from functools import partial

from builders.eager import Book, cross_or_self
from builders.twins import save_unet

BOOK = Book(save_unet, cross_or_self, variants={"sd2": partial(save_unet, second=True)})
