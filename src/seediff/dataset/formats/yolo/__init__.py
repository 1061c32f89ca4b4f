"""YOLO's folders for segmentation, out and in: `writing` makes them and their label files' lines, `reading` takes anybody's."""

from .reading import find_yaml, import_yolo, label_file
from .writing import as_yolo, export_yolo, from_yolo

__all__ = ["as_yolo", "export_yolo", "find_yaml", "from_yolo", "import_yolo", "label_file"]
