"""COCO's JSON, out and in: `writing` makes it, `reading` takes anybody's, in the layouts that it knows."""

from .reading import is_folder, read
from .writing import instances, semantic, write

__all__ = ["instances", "is_folder", "read", "semantic", "write"]
