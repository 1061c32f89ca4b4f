"""COCO's JSON, out and in: `writing` makes it, `reading` takes anybody's, in the layouts that `layouts` knows."""

from .layouts import is_folder
from .reading import from_coco, read
from .writing import instances, semantic, write

__all__ = ["from_coco", "instances", "is_folder", "read", "semantic", "write"]
