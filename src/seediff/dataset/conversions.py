"""Every format of other tools, as methods of `Dataset`: `from_NAME` reads one, `as_NAME` writes one. What each keeps: docs/export.md."""

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
    """Formats by their names.

    Of every `as_NAME`: out: a folder that appears when everything is in it. split: the share of samples for validation, in [0, 1], chosen
    by a hash of their names and `seed`; None: as `split` in their metadata says, else all for training. link: hard links to pictures
    instead of copies. workers: processes that look at the samples; the bytes are the same, and a script needs the usual
    `if __name__ == "__main__"`. Returns `Exported(samples, files, notes)`: the notes say what the format could not hold. Raises UserError
    naming the sample that cannot be used.

    Of every `from_NAME`: path: the folder, or a file where the format has one. `notes` of the dataset say what was left out. Pictures and
    label maps are read when they are looked at, but for parquet and WebDataset, whose files' bytes are kept in memory. Nothing is read
    through a link that leads out of the folder. skip_missing: leave out labels whose picture is not there; a note says how many. Raises
    UserError naming the file and line of what cannot be used.
    """

    classes: tuple[str, ...]
    samples: list[Sample]

    def __init__(self, classes: Sequence[str], samples: Sequence[Sample], *, path: Place | None = None, notes: Sequence[str] = ()):
        raise NotImplementedError

    @classmethod
    def _read(cls, name: SourceName, path: Place, **options: Any) -> Self:
        from .formats.drivers import read_format

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

        split: the list of ImageSets/Segmentation to read, such as "train"; None: all of train, val, trainval and test, or every label map
        where there is no list. Names without a mask are left out. classes: None: the folder's classes.txt, else its labelmap.txt, else
        VOC's twenty. Masks in colours mean what labelmap.txt, or VOC's palette, says. images: where the pictures are, when JPEGImages is a
        link that leads out of the folder.
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
        """Pascal VOC's folders. objects: also SegmentationObject. boxes: also Annotations, with a box per object. min_area: pieces of fewer
        pixels are no objects. jpeg: write PNG pictures anew as JPEG of quality 95, since some readers open NAME.jpg only."""
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

        Of a folder, annotations/semantic*.json are read where there are such, else instances*.json and other usual names; `annotations`
        names another file. images: the pictures' folder; None: found beside the annotations. Where objects overlap, the smaller one is
        seen; what is only in a crowd (iscrowd 1), or in a box without a mask, is ignored (255). crowds: what crowds are; None: ignored, but
        an error when there is nothing else, for some tools call every mask a crowd.
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
        """COCO's instances.json, and semantic.json, from which label maps come back exactly. min_area: objects of fewer pixels are left
        out. polygons: objects as polygons instead of RLE; a note says what they lose. panoptic: also panoptic.json, with a PNG of
        each picture's segments."""
        common: dict[str, Any] = {"split": split, "seed": seed, "link": link, "workers": workers}
        return self._write("coco", out, **common, min_area=min_area, polygons=polygons, panoptic=panoptic)

    @classmethod
    def from_yolo(cls, path: Place, *, split: str | None = None, images: Place | None = None, skip_missing: bool = False) -> Self:
        """A YOLO folder, or the folder whose YAML file is named.

        split: "train", "val" or "test"; None: all that the file has. images: where the pictures are, when `images` is a link that leads out
        of the folder, or they lie elsewhere. A picture without a label file shows background.
        """
        return cls._read("yolo", path, split=split, images=images, skip_missing=skip_missing)

    def as_yolo(
        self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1, min_area: int = 1
    ) -> Exported:
        """YOLO's polygons. A note says the IoU of every sample's polygons, filled as readers fill them, with its mask. min_area: connected
        pieces of fewer pixels are left out."""
        return self._write("yolo", out, split=split, seed=seed, link=link, workers=workers, min_area=min_area)

    @classmethod
    def from_parquet(cls, path: Place, *, split: str | None = None) -> Self:
        """A folder of parquet files, or one of them. split: "train", "val" or "test"; None: all."""
        return cls._read("parquet", path, split=split)

    def as_parquet(
        self, out: Place, *, split: float | None = None, seed: int = 0, workers: int = 1, shard_size: int = 500_000_000
    ) -> Exported:
        """Parquet files that `datasets.load_dataset` reads. shard_size: about how many bytes a file has."""
        return self._write("parquet", out, split=split, seed=seed, workers=workers, shard_size=shard_size)

    @classmethod
    def from_webdataset(cls, path: Place, *, classes: Sequence[str] | None = None) -> Self:
        """A folder of WebDataset's tar files, or one of them. classes: None: those of the classes.txt beside the tar files."""
        return cls._read("webdataset", path, classes=classes)

    def as_webdataset(self, out: Place, *, workers: int = 1, shard_size: int = 500_000_000, shard_samples: int = 10_000) -> Exported:
        """WebDataset's tar files. shard_size: a file ends before it has more bytes than this; one large sample may be more by itself.
        shard_samples: a file has no more samples than this."""
        return self._write("webdataset", out, workers=workers, shard_size=shard_size, shard_samples=shard_samples)

    @classmethod
    def from_ultralytics(cls, path: Place, *, split: str | None = None, images: Place | None = None) -> Self:
        """A folder of Ultralytics' PNG masks, or the folder whose YAML file is named. split, images: as of `from_yolo`."""
        return cls._read("ultralytics", path, split=split, images=images)

    def as_ultralytics(self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1) -> Exported:
        """Ultralytics' folders for semantic segmentation."""
        return self._write("ultralytics", out, split=split, seed=seed, link=link, workers=workers)

    @classmethod
    def from_cvat(cls, path: Place, *, images: Place | None = None, skip_missing: bool = False) -> Self:
        """An unpacked export of "CVAT for images 1.1", or its XML file.

        Classes are its labels in their order; `ignore`, `ignored`, `void` and `unlabeled` are 255. What is in a box and in no mask is
        ignored; other shapes are left out. images: where the pictures are; None: in images/ or beside the file.
        """
        return cls._read("cvat", path, images=images, skip_missing=skip_missing)

    def as_cvat(
        self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1, objects: bool = False
    ) -> Exported:
        """ "CVAT for images 1.1", in the order of the samples' names. objects: a mask per object instead of one per class."""
        return self._write("cvat", out, split=split, seed=seed, link=link, workers=workers, objects=objects)

    @classmethod
    def from_cvat_masks(
        cls,
        path: Place,
        *,
        split: str | None = None,
        classes: Sequence[str] | None = None,
        images: Place | None = None,
        skip_missing: bool = False,
    ) -> Self:
        """CVAT's "Segmentation mask 1.1", with a labelmap.txt; the rest as `from_voc`."""
        return cls._read("cvat-masks", path, split=split, classes=classes, images=images, skip_missing=skip_missing)

    def as_cvat_masks(
        self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1, objects: bool = False
    ) -> Exported:
        """CVAT's "Segmentation mask 1.1". objects: also SegmentationObject."""
        return self._write("cvat-masks", out, split=split, seed=seed, link=link, workers=workers, objects=objects)

    @classmethod
    def from_labelstudio(
        cls, path: Place, *, classes: Sequence[str] | None = None, images: Place | None = None, skip_missing: bool = False
    ) -> Self:
        """A JSON export of Label Studio (not JSON-MIN), or a folder of `as_labelstudio`.

        Where any task has an annotation, tasks without are left out; where none has, predictions are read. Brush masks and polygons count.
        classes: None: those of label_config.xml beside the file, else the labels in use, by name; `ignore`, `ignored`, `void` and
        `unlabeled` are 255. images: where the pictures are; None: in images/ or beside the file.
        """
        return cls._read("labelstudio", path, classes=classes, images=images, skip_missing=skip_missing)

    def as_labelstudio(self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1) -> Exported:
        """Label Studio's tasks, with the masks as predictions, whose score is the lowest of its classes': a class's `confidence`, else its
        `presence`, where the metadata has one."""
        return self._write("labelstudio", out, split=split, seed=seed, link=link, workers=workers)

    @classmethod
    def from_fiftyone(cls, path: Place, *, classes: Sequence[str] | None = None) -> Self:
        """FiftyOne's data/ and labels/, or such folders in train/, val/ and test/. classes: None: those of classes.txt, here or in the
        folder above."""
        return cls._read("fiftyone", path, classes=classes)

    def as_fiftyone(self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1) -> Exported:
        """FiftyOne's ImageSegmentationDirectory."""
        return self._write("fiftyone", out, split=split, seed=seed, link=link, workers=workers)

    @classmethod
    def from_roboflow(cls, path: Place) -> Self:
        """Roboflow's "Semantic Segmentation Masks": train/, valid/ and test/, or one of these. 255 is ignored unless the list names it."""
        return cls._read("roboflow", path)

    def as_roboflow(self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1) -> Exported:
        """Roboflow's "Semantic Segmentation Masks"."""
        return self._write("roboflow", out, split=split, seed=seed, link=link, workers=workers)

    @classmethod
    def from_imagefolder(cls, path: Place) -> Self:
        """What `as_imagefolder` writes: classes.txt, and metadata.jsonl in train/, validation/ and test/."""
        return cls._read("imagefolder", path)

    def as_imagefolder(self, out: Place, *, split: float | None = None, seed: int = 0, link: bool = False, workers: int = 1) -> Exported:
        """`imagefolder` of `datasets`, which the Hugging Face hub shows with two columns of pictures."""
        return self._write("imagefolder", out, split=split, seed=seed, link=link, workers=workers)

    @classmethod
    def from_labelme(
        cls, path: Place, *, classes: Sequence[str] | None = None, images: Place | None = None, skip_missing: bool = False
    ) -> Self:
        """Folders of labelme's JSON files, or one of these. classes: None: those of a labels.txt or class_names.txt, else the labels in
        use, by name. images: where the pictures are; None: where the files say, else what they hold as `imageData`."""
        return cls._read("labelme", path, classes=classes, images=images, skip_missing=skip_missing)

    @classmethod
    def from_supervisely(cls, path: Place, *, skip_missing: bool = False) -> Self:
        """A project of Supervisely: meta.json, and data sets with ann/ and img/. Bitmaps and polygons count; what is in a rectangle and in
        no mask is ignored."""
        return cls._read("supervisely", path, skip_missing=skip_missing)

    @classmethod
    def from_datumaro(cls, path: Place, *, images: Place | None = None, skip_missing: bool = False) -> Self:
        """Datumaro's own JSON: annotations/SUBSET.json and images/SUBSET/, or one such file. Masks and polygons count; what is in a box and
        in no mask is ignored."""
        return cls._read("datumaro", path, images=images, skip_missing=skip_missing)

    @classmethod
    def from_published(cls, path: Place, *, split: str | None = None, images: Place | None = None, skip_missing: bool = False) -> Self:
        """Cityscapes, ADE20K or CamVid as they are distributed. split: "train", "val" or "test"; None: all that have labels. Void is
        ignored (255), and nothing is background. images: where the pictures are; None: beside the labels."""
        return cls._read("published", path, split=split, images=images, skip_missing=skip_missing)

    @classmethod
    def from_masks(cls, path: Place, *, classes: Sequence[str] | None = None) -> Self:
        """Pictures and PNG masks of the same names in images/ and masks/, or beside each other as NAME_mask.png; parts may have folders.

        classes: None: those of a classes.txt, class_names.txt, labels.txt, labelmap.txt or class_dict.csv. Values of masks are ids from 1
        on; of a single class, 255 is the class where no mask has 1."""
        return cls._read("masks", path, classes=classes)


def export_options(name: FormatName) -> list[str]:
    """What can be asked of a format's export."""
    return _options(getattr(Conversions, f"as_{name.replace('-', '_')}"), 2)


def import_options(name: SourceName) -> list[str]:
    """What can be asked of a format's import."""
    return _options(getattr(Conversions, f"from_{name.replace('-', '_')}"), 1)


def _options(method: Any, leading: int) -> list[str]:
    from inspect import signature

    return list(signature(method).parameters)[leading:]
