"""COCO's JSON: `writing` writes it, `reading` reads it in the layouts of many programs."""

from .reading import is_folder, read
from .writing import instances, semantic, write

__all__ = ["instances", "is_folder", "read", "semantic", "write"]
