"""COCO's JSON, out and in: `writing` makes it, `reading` takes anybody's, in the layouts that `layouts` knows."""

from .reading import from_coco, import_coco
from .writing import as_coco, export_coco, instances, semantic

__all__ = ["as_coco", "export_coco", "from_coco", "import_coco", "instances", "semantic"]
