"""Conversions to and from the formats of other tools, as methods of `Dataset`: `from_NAME` reads, `as_NAME` writes. What each format keeps:
docs/export.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from typing_extensions import Self

    from .formats.drivers import Exported
    from .formats.known import FormatName, SourceName
    from .sample import Sample

Place = Path | str
Crowds = Literal["ignored", "objects"]


class Conversions:
    """The methods of `Dataset` that read and write other formats.

    Common to the `as_NAME` methods: out: a folder that appears only when it is complete. split: the share of samples for validation, from 0
    to 1, chosen by a hash of their names and `seed`; None: the `split` in their metadata, or else all for training. link: hard links to
    pictures instead of copies. workers: number of processes; the output is the same for any number, and for several a script needs the
    usual `if __name__ == "__main__"`. They return `Exported(samples, files, notes)`, whose notes list what the format could not hold, and
    raise UserError naming a sample that cannot be used.

    Common to the `from_NAME` methods: path: the folder, or a file for formats that allow one. The dataset's `notes` list what was left out.
    Pictures and label maps are read when they are accessed, except for parquet and WebDataset, whose bytes are kept in memory. Links that
    lead out of the folder are not followed. skip_missing: leave out labels without a picture; a note gives their number. They raise
    UserError naming the file and line that cannot be used.
    """

    classes: tuple[str, ...]
    samples: list[Sample]

    def __init__(self, classes: Sequence[str], samples: Sequence[Sample], *, path: Place | None = None, notes: Sequence[str] = ()):
        raise NotImplementedError

    @classmethod
    def _read(cls, name: SourceName, path: Place, **options: Any) -> Self:
        from .formats.drivers import read_format
        from .rows import check_class_list

        if isinstance(named := options.get("classes"), str):
            check_class_list(named)  # formats would take its letters
        classes, samples, notes = read_format(name, path, **options)
        return cls(classes, list(samples), path=path, notes=notes)

    def _write(self, name: FormatName, out: Place, **options: Any) -> Exported:
        from .formats.drivers import export

        return export(name, self.classes, self.samples, out, **options)

    @classmethod
    def from_voc(
        cls,
        path: Place,
        *,
        split: str | None = None,
        classes: Sequence[str] | None = None,
        images: Place | None = None,
        skip_missing: bool = False,
    ) -> Self:
        """A Pascal VOC folder, or the VOCdevkit that holds it.

        split: the list in ImageSets/Segmentation to read, such as "train"; None: all lists together, or every label map if no list is of a
        part. Names without a mask are left out. classes: None: those of the folder's classes.txt, labelmap.txt, class_names.txt or
        labels.txt, or else VOC's twenty. Colours in masks have the meaning given by labelmap.txt or by VOC's palette. images: the folder of
        the pictures, if JPEGImages is a link that leads out of the folder.
        """
        return cls._read("voc", path, split=split, classes=classes, images=images, skip_missing=skip_missing)

    def as_voc(
        self,
        out: Place,
        *,
        split: float | None = None,
        seed: int = 0,
        link: bool = False,
        workers: int = 1,
        min_area: int = 1,
        objects: bool = False,
        boxes: bool = False,
        jpeg: bool = False,
    ) -> Exported:
        """Pascal VOC's folders. objects: also write SegmentationObject. boxes: also write Annotations, with a box per object. min_area,
        with one of them: pieces with fewer pixels do not count as objects. jpeg: convert PNG pictures to JPEG of quality 95, because some
        readers open only NAME.jpg."""
        common: dict[str, Any] = {"split": split, "seed": seed, "link": link, "workers": workers}
        return self._write("voc", out, **common, min_area=min_area, objects=objects, boxes=boxes, jpeg=jpeg)

    @classmethod
    def from_coco(
        cls,
        path: Place,
        *,
        images: Place | None = None,
        annotations: Place | None = None,
        crowds: Crowds | None = None,
        skip_missing: bool = False,
    ) -> Self:
        """A COCO folder, or one JSON file.

        In a folder, annotations/semantic*.json are read, or else instances*.json and other usual names; `annotations` names another file.
        images: the pictures' folder; None: the usual places near the annotations. Where objects overlap, the smaller one is visible. Pixels
        that are only in a crowd (iscrowd 1), or only in a box without a mask, are ignored (255). crowds: how to treat crowds; None: as
        ignored, but with an error if all masks are crowds, because some tools write every mask as a crowd.
        """
        return cls._read("coco", path, images=images, annotations=annotations, crowds=crowds, skip_missing=skip_missing)

    def as_coco(
        self,
        out: Place,
        *,
        split: float | None = None,
        seed: int = 0,
        link: bool = False,
        workers: int = 1,
        min_area: int = 1,
        polygons: bool = False,
        panoptic: bool = False,
    ) -> Exported:
        """COCO's instances.json, and semantic.json, from which label maps are restored exactly. min_area: objects with fewer pixels are
        left out. polygons: objects as polygons instead of RLE; a note says what is lost. panoptic: also write panoptic.json, with a PNG of
        each picture's segments."""
        common: dict[str, Any] = {"split": split, "seed": seed, "link": link, "workers": workers}
        return self._write("coco", out, **common, min_area=min_area, polygons=polygons, panoptic=panoptic)

    @classmethod
    def from_yolo(cls, path: Place, *, split: str | None = None, images: Place | None = None, skip_missing: bool = False) -> Self:
        """A YOLO folder, or the folder of the given YAML file.

        split: "train", "val" or "test"; None: all that the YAML file lists. images: the folder of the pictures, if they lie elsewhere or
        `images` is a link that leads out of the folder. A picture without a label file is all background.
        """
        return cls._read("yolo", path, split=split, images=images, skip_missing=skip_missing)

    def as_yolo(
        self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1, min_area: int = 1
    ) -> Exported:
        """YOLO's polygons. A note gives the mean and the lowest IoU between a sample's mask and its polygons, filled as readers fill them.
        min_area: connected pieces with fewer pixels are left out."""
        return self._write("yolo", out, split=split, seed=seed, link=link, workers=workers, min_area=min_area)

    @classmethod
    def from_parquet(cls, path: Place, *, split: str | None = None) -> Self:
        """A folder of parquet files, or one of them. split: "train", "val" or "test"; None: all."""
        return cls._read("parquet", path, split=split)

    def as_parquet(
        self, out: Place, *, split: float | None = None, seed: int = 0, workers: int = 1, shard_size: int = 500_000_000
    ) -> Exported:
        """Parquet files that `datasets.load_dataset` reads. shard_size: approximate size of a file in bytes."""
        return self._write("parquet", out, split=split, seed=seed, workers=workers, shard_size=shard_size)

    @classmethod
    def from_webdataset(cls, path: Place, *, classes: Sequence[str] | None = None) -> Self:
        """A folder of WebDataset's tar files, or one of them. classes: None: those of the classes.txt beside the tar files."""
        return cls._read("webdataset", path, classes=classes)

    def as_webdataset(self, out: Place, *, workers: int = 1, shard_size: int = 500_000_000, shard_samples: int = 10_000) -> Exported:
        """WebDataset's tar files. shard_size: maximum size of a file in bytes; only a single large sample may exceed it. shard_samples:
        maximum number of samples per file."""
        return self._write("webdataset", out, workers=workers, shard_size=shard_size, shard_samples=shard_samples)

    @classmethod
    def from_ultralytics(cls, path: Place, *, split: str | None = None, images: Place | None = None, skip_missing: bool = False) -> Self:
        """A folder of Ultralytics' PNG masks, or the folder of the given YAML file. split, images: as in `from_yolo`."""
        return cls._read("ultralytics", path, split=split, images=images, skip_missing=skip_missing)

    def as_ultralytics(self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1) -> Exported:
        """Ultralytics' folders for semantic segmentation."""
        return self._write("ultralytics", out, split=split, seed=seed, link=link, workers=workers)

    @classmethod
    def from_cvat(cls, path: Place, *, images: Place | None = None, skip_missing: bool = False) -> Self:
        """An unpacked export of "CVAT for images 1.1", or its XML file.

        Classes are its labels in their order; `ignore`, `ignored`, `void` and `unlabeled` become 255. Pixels that are in a box but in no
        mask are ignored; other shapes are left out. images: the folder of the pictures; None: images/, or beside the file.
        """
        return cls._read("cvat", path, images=images, skip_missing=skip_missing)

    def as_cvat(
        self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1, objects: bool = False
    ) -> Exported:
        """ "CVAT for images 1.1", in the order of the samples' names. objects: a mask per object instead of one per class."""
        return self._write("cvat", out, split=split, seed=seed, link=link, workers=workers, objects=objects)

    @classmethod
    def from_labelstudio(
        cls, path: Place, *, classes: Sequence[str] | None = None, images: Place | None = None, skip_missing: bool = False
    ) -> Self:
        """A JSON export of Label Studio (not JSON-MIN), or a folder written by `as_labelstudio`.

        If any task has an annotation, tasks without one are left out; if none has, predictions are read. Only brush masks and polygons are
        read. classes: None: those of the label_config.xml beside the file, or else the labels in use, sorted by name; `ignore`, `ignored`,
        `void` and `unlabeled` become 255. images: the folder of the pictures; None: images/, or beside the file.
        """
        return cls._read("labelstudio", path, classes=classes, images=images, skip_missing=skip_missing)

    def as_labelstudio(self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1) -> Exported:
        """Label Studio's tasks, with the masks as predictions. A prediction's score is the lowest among its classes; the score of a class
        is its `confidence` in the metadata, or else its `presence`, if given."""
        return self._write("labelstudio", out, split=split, seed=seed, link=link, workers=workers)

    @classmethod
    def from_imagefolder(cls, path: Place) -> Self:
        """A folder written by `as_imagefolder`: classes.txt, and metadata.jsonl in train/, validation/ and test/."""
        return cls._read("imagefolder", path)

    def as_imagefolder(self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1) -> Exported:
        """The `imagefolder` format of `datasets`, which the Hugging Face hub shows as two columns of pictures."""
        return self._write("imagefolder", out, split=split, seed=seed, link=link, workers=workers)

    @classmethod
    def from_labelme(
        cls, path: Place, *, classes: Sequence[str] | None = None, images: Place | None = None, skip_missing: bool = False
    ) -> Self:
        """Folders of labelme's JSON files, or one such file. classes: None: those of a labels.txt or class_names.txt, or else the labels in
        use, sorted by name. images: the folder of the pictures; None: where the files say, or else their `imageData`."""
        return cls._read("labelme", path, classes=classes, images=images, skip_missing=skip_missing)

    @classmethod
    def from_masks(cls, path: Place, *, split: str | None = None, classes: Sequence[str] | None = None, skip_missing: bool = False) -> Self:
        """Pictures and PNG masks of the same names in images/ and masks/, or beside each other as NAME_mask.png, also in folders per split;
        or Cityscapes, ADE20K or CamVid as they are distributed, whose void is ignored (255) and whose classes and ids are known.

        split: "train", "val" or "test"; None: all. classes: None: those of a classes.txt, class_names.txt, labels.txt, labelmap.txt,
        class_dict.csv, labelmap.csv or dataset_meta.json. Values in masks are ids from 1 on. If there is a single class and masks have only
        the values 0 and 255, 255 is the class.
        """
        return cls._read("masks", path, split=split, classes=classes, skip_missing=skip_missing)


def export_options(name: FormatName) -> list[str]:
    """The names of the options of a format's export."""
    return _options(getattr(Conversions, f"as_{name}"), 2)


def import_options(name: SourceName) -> list[str]:
    """The names of the options of a format's import."""
    return _options(getattr(Conversions, f"from_{name}"), 1)


def _options(method: Any, leading: int) -> list[str]:
    from inspect import signature

    return list(signature(method).parameters)[leading:]
