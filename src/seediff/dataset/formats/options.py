"""What can be asked of each exporter: `export_voc(classes, items, out, VocOptions(split=0.2))`, and so for every format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Of every format."""

    workers: int = 1
    """Processes that look at the samples; for several, items must be picklable, as `open_native`'s are, and a script needs the usual
    `if __name__ == "__main__"`. The bytes are the same."""


@dataclass(frozen=True, kw_only=True)
class SplitOptions(ExportOptions):
    """Of formats that tell training from validation."""

    split: float | None = None
    """Share of samples for validation, in [0, 1]; None: as rows say, else all train."""
    seed: int = 0
    """Another seed, another choice of them."""


@dataclass(frozen=True, kw_only=True)
class LinkOptions(SplitOptions):
    """Of formats whose pictures are files. Those of label maps and masks, without objects, have no others."""

    link: bool = False
    """Hard links to pictures instead of copies."""


@dataclass(frozen=True, kw_only=True)
class FolderOptions(LinkOptions):
    """Of formats that are a folder of pictures with objects. YOLO has no others."""

    min_area: int = 1
    """Connected pieces of fewer pixels are no objects."""


@dataclass(frozen=True, kw_only=True)
class VocOptions(FolderOptions):
    objects: bool = False
    """Also write SegmentationObject."""
    boxes: bool = False
    """Also write Annotations, with a box per object."""
    jpeg: bool = False
    """Write PNG pictures anew as JPEG of quality 95, since some readers open NAME.jpg only."""


@dataclass(frozen=True, kw_only=True)
class CvatOptions(LinkOptions):
    objects: bool = False
    """A mask per connected piece instead of one per class; of CVAT's segmentation masks, also SegmentationObject."""


@dataclass(frozen=True, kw_only=True)
class CocoOptions(FolderOptions):
    polygons: bool = False
    """Objects as polygons instead of RLE; a note says what they lose."""
    panoptic: bool = False
    """Also panoptic.json, with a PNG of each picture's segments."""


@dataclass(frozen=True, kw_only=True)
class ParquetOptions(SplitOptions):
    shard_size: int = 500_000_000
    """About how many bytes a file has."""


@dataclass(frozen=True, kw_only=True)
class WebDatasetOptions(ExportOptions):
    shard_size: int = 500_000_000
    """A file ends before it has more bytes than this; one large sample may be more by itself."""
    shard_samples: int = 10_000
    """A file has no more samples than this."""
