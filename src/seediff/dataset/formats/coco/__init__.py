"""COCO's JSON: `writing` writes it, `reading` reads it in the layouts of many programs."""

from .reading import is_folder, read
from .writing import write

__all__ = ["is_folder", "read", "write"]
