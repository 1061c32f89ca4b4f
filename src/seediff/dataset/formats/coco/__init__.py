"""COCO's JSON, out and in: `writing` makes it, `reading` takes anybody's, in the layouts that `layouts` knows."""

from .layouts import is_folder
from .reading import read
from .writing import instances, semantic, write

__all__ = ["instances", "is_folder", "read", "semantic", "write"]
