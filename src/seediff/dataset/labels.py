"""Reads folders of labels as they are distributed: their files, their classes, and the class of each stored id.

folder: PNG label maps, also in subfolders, whose ids are classes; names in a `classes.txt` in the folder or beside it.
voc: `SegmentationClass/*.png` for the names in `ImageSets/Segmentation/<split>.txt`; VOC's 21 classes, id 0 is the
background, or those of a `classes.txt`. The others are in PUBLIC.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..config.names import BACKGROUND, IGNORED, read_class_list
from ..config.names import VOC_CLASSES as VOC_OBJECTS
from ..errors import UserError
from ..files.label_maps import PHOTO_ENDING, find_maps, map_folder, read_segment_ids, stem
from ..files.messages import plural
from ..files.reading import read_lines
from . import coco_stuff

Layout = Literal["folder", "voc", "coco-stuff", "cityscapes", "camvid"]
DEFAULT_CLASSES = 27  # for a plain folder without classes.txt
UNLABELLED, UNKNOWN = -1, -2
IDS = 65536
MAX_CLASSES = 1024  # because matching compares every class with every segment

VOC_CLASSES = (BACKGROUND, *VOC_OBJECTS)
CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "signsymbol", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
CITYSCAPES_CLASSES = (
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole",
    "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck",
    "bus", "caravan", "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""The classes of Cityscapes' ids 7 … 33 in order, without the void ids, as in PiCIE, STEGO and DiffSeg."""
ADE20K_IDS, ADE20K_LAST = {"13": "person", "21": "car", "81": "bus"}, 150
"""Entries that objectInfo150.txt must have, so that pixel values have their published meaning."""
PICTURES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG")


@dataclass(frozen=True)
class Public:
    """A public data set as it is distributed. masks, pictures: folders in the root, where {} is the part's. parts:
    split → its folder. classes: of the ids from `first` on. void: ids without a class. maps: names of label maps, whose
    group is the sample's. ending: of a picture's name after it. below: where the root may be in the named folder.
    listed: a file that the root must have. usual: the split that papers use."""

    title: str
    masks: tuple[str, ...]
    parts: Mapping[str, str]
    pictures: str = ""
    classes: tuple[str, ...] = ()
    first: int = 0
    void: tuple[int, ...] = ()
    maps: str = "(.+)"
    ending: str = ""
    below: tuple[str, ...] = ("",)
    listed: str = ""
    usual: str = "val"


PUBLIC: Mapping[str, Public] = {
    "ade20k": Public(
        "ADE20K", ("annotations/{}",), {"val": "validation", "train": "training"}, "images/{}",
        below=("", "ADEChallengeData2016"), void=(0,), listed="objectInfo150.txt",
    ),
    "cityscapes": Public(
        "Cityscapes", ("gtFine/{}",), {"train": "train", "val": "val"}, "leftImg8bit/{}",
        CITYSCAPES_CLASSES, 7, tuple(range(7)), "(.+)_gtFine_labelIds", PHOTO_ENDING,
    ),
    "camvid": Public(
        "CamVid", ("{}annot",), {name: name for name in ("train", "val", "test")}, "{}", CAMVID_CLASSES,
        void=(11,), below=("", "CamVid"), usual="test",
    ),
    "coco-stuff": Public(
        "COCO-Stuff",
        ("annotations/{}", "dataset/annotations/{}", "stuffthingmaps_trainval2017/{}", "annotation_{}", "{}"),
        {"train": "train2017", "val": "val2017"}, classes=coco_stuff.COARSE,
        maps=r"(\d{12})",  # COCO's image ids: other programs leave converted label maps beside the originals
    ),
}  # fmt: skip
"""ADE20K is not for `open_labels`. CamVid is SegNet's; the test labels of Cityscapes are not public. COCO-Stuff has 27
coarse classes."""


@dataclass(frozen=True, eq=False)
class LabelSet:
    """The labels of a data set. files: name (the path without ending, for Cityscapes without `_gtFine_labelIds`) →
    file. table: (65536,) int32, the class of each stored id, −1 for unlabelled, −2 for unknown. images: the folder of
    the pictures, whose names end with `ending`."""

    layout: str
    about: str
    classes: tuple[str, ...]
    files: Mapping[str, Path]
    table: np.ndarray
    images: Path | None = None
    ending: str = ""

    def picture(self, name: str) -> Path | None:
        paths = (self.images / f"{name}{self.ending}{suffix}" for suffix in PICTURES) if self.images else ()
        return next((path for path in paths if path.is_file()), None)

    def read(self, name: str) -> np.ndarray:
        """(H, W) int32: classes, −1 = unlabelled. Refuses unknown ids."""
        stored = read_segment_ids(self.files[name])
        classes = self.table.take(stored, mode="wrap")  # −1 takes the last entry, 65535: unlabelled on disk too
        if unknown := np.unique(stored[classes == UNKNOWN]).tolist():
            listed = ", ".join(map(str, unknown[:5])) + (", …" if len(unknown) > 5 else "")
            raise UserError(self.files[name], f"has unknown label ids {listed}, which are not of {self.about}")
        return classes

    def find(self, name: str) -> str | None:
        """The label of a photograph or prediction with this name (a path without ending), or else the only one with the
        same last part. A label's name may lack the ending of Cityscapes' photographs."""
        names = name, name.removesuffix(PHOTO_ENDING)
        same = [one for one in names if one in self.files][:1]
        same = same or [label for label in self.files if stem(label) in map(stem, names)]
        return same[0] if len(same) == 1 else None


def open_labels(
    folder: Path | str,
    layout: Layout | Literal["auto"] = "auto",
    *,
    num_classes: int | None = None,
    split: str | None = None,
    void: Sequence[int] = (),
) -> LabelSet:
    """Finds the labels of a folder. layout: `auto` takes the first of Cityscapes, CamVid, VOC, COCO-Stuff that fits, or
    else `folder`. num_classes, void: of a plain folder, 1 to 1024, by default the number in its classes.txt, or 27; and
    the ids to ignore, besides 255. split: None: the part that `folder` is itself, or else val, or test for CamVid."""
    folder = Path(folder)
    if layout not in ("auto", *get_args(Layout)):
        raise UserError("layout", f"{layout} must be auto, {', '.join(get_args(Layout))}")
    tried = {"auto": ("cityscapes", "camvid", "voc", "coco-stuff"), "folder": ()}.get(layout, (layout,))
    opened = (_voc(folder, split or "val") if name == "voc" else _public(folder, name, split) for name in tried)
    labels = next((one for one in opened if one is not None), None)
    if labels is None and layout in ("auto", "folder"):
        return _folder(folder, num_classes, void)
    if labels is None:
        within = "SegmentationClass" if layout == "voc" else PUBLIC[layout].masks[0].format(split or "val")
        raise UserError(folder, f"is not laid out like {layout}, with label maps in {within}/")
    if void or num_classes not in (None, len(labels.classes)):
        problem = (
            f"is for plain folders; {labels.layout} labels have {len(labels.classes)} classes and their own void ids"
        )
        raise UserError("void" if void else "num_classes", problem, "leave it out, or read the folder as a plain one")
    return labels


def select(labels: LabelSet, names: Path) -> LabelSet:
    """Only the labels that a text file lists, one name or path per line."""
    files = {}
    for line in filter(None, map(str.strip, read_lines(names))):
        label = labels.find(re.sub(r"\.(png|jpe?g)$", "", line, flags=re.IGNORECASE))
        if label is None:
            raise UserError(names, f"lists '{line}', which is not the name of one label ({labels.about})")
        files[label] = labels.files[label]
    if not files:
        raise UserError(names, "lists no names")
    return replace(labels, files=files, about=f"{labels.about}; {len(files)} of them listed in {names}")


def _id_table(classes: Sequence[int], first: int = 0, void: Sequence[int] = ()) -> np.ndarray:
    """(65536,) int32: id first + i is class classes[i]; `void`, 65535, and 255 if it is no class, are unlabelled."""
    table = np.full(IDS, UNKNOWN, np.int32)
    table[255] = UNLABELLED
    table[first : first + len(classes)] = classes
    table[[*void, IDS - 1]] = UNLABELLED
    return table


def _numbered(about: str, names: Mapping[int, str], files: Mapping[str, Path], void: Sequence[int] = ()) -> Any:
    """The arguments of a LabelSet whose ids are classes; an id without a name has its number."""
    count = max(names, default=-1) + 1
    if not 1 <= count <= MAX_CLASSES:
        raise UserError("num_classes", f"{count} must be between 1 and {MAX_CLASSES}")
    classes = tuple(names.get(i, str(i)) for i in range(count))
    about = f"{about}: {plural(len(files), 'image')}, {count} classes"
    return about, classes, files, _id_table(range(count), void=void)


def _folder(folder: Path, num_classes: int | None, void: Sequence[int]) -> LabelSet:
    where = map_folder(folder)
    files = find_maps(where)
    if not files:
        raise UserError(where, "has no PNG files; labels are palette or grey PNG label maps")
    if bad := [number for number in void if not 0 <= number < IDS]:
        raise UserError("void", f"{bad[0]} must be ids of label maps, from 0 to {IDS - 1}")
    listing = next((path for path in (where / "classes.txt", where.parent / "classes.txt") if path.is_file()), None)
    names = stored_names(listing) if listing else {}
    source = "given" if num_classes is not None else f"from {listing}" if names else "by default"
    void = [*void, *([0] if names.get(0, "").casefold() in IGNORED else [])]
    count = num_classes if num_classes is not None else max(names, default=DEFAULT_CLASSES - 1) + 1
    names = {i: names.get(i, str(i)) for i in range(count)}
    about, *rest = _numbered(f"label maps in {where}", names, files, void)
    return LabelSet("folder", f"{about} ({source})", *rest, images=folder / "images")


def stored_names(listing: Path) -> dict[int, str]:
    """Names by id, from 0, of a classes.txt; id 255 is not a class unless there are higher ids."""
    names = read_class_list(listing, first=0)
    return {number: name for number, name in names.items() if number != 255 or max(names) > 255}


def find_voc(folder: Path) -> Path | None:
    """The folder with SegmentationClass/: this one, or that of a year in it or in its VOCdevkit/, VOC2012 first."""
    years = [path for base in (folder, folder / "VOCdevkit") for path in sorted(base.glob("VOC2[0-9][0-9][0-9]"))]
    roots = [folder, *sorted(years, key=lambda path: (path.name != "VOC2012", path.parent != folder))]
    return next((root for root in roots if (root / "SegmentationClass").is_dir()), None)


def _voc(folder: Path, split: str) -> LabelSet | None:
    if (root := find_voc(folder)) is None:
        return None
    listing, maps = root / "ImageSets" / "Segmentation" / f"{split}.txt", root / "SegmentationClass"
    lines = [line.strip() for line in read_lines(listing, absent="no such file; it lists the part's images")]
    # A name may have spaces; but in VOC's lists of a class, a name is followed by 1 or -1.
    names = [line if (maps / f"{line}.png").is_file() else line.split()[0] for line in lines if line]
    files = {name: maps / f"{name}.png" for name in names}
    if absent := next((path for path in files.values() if not path.is_file()), None):
        raise UserError(absent, f"no such file, but {listing} lists it")
    if not files:
        raise UserError(listing, "lists no images")
    own = root / "classes.txt"  # other data sets in this layout name their classes in a file
    stored = stored_names(own) if own.is_file() else dict(enumerate(VOC_CLASSES))
    what = "Pascal VOC" if tuple(stored.values()) == VOC_CLASSES else "label maps in Pascal VOC's layout"
    return LabelSet("voc", *_numbered(f"{what} in {root}, {split}", stored, files), images=root / "JPEGImages")


def find_parts(folder: Path, name: str) -> tuple[Path, dict[str, Path]] | None:
    """The root of a public data set, and split → its folder of label maps. folder: the root, its parent, or a part's
    label maps, without a classes.txt, which gives classes of its own."""
    known, here = PUBLIC[name], Path(os.path.abspath(folder))
    if (folder / "classes.txt").is_file():
        return None
    roots = (*(folder / place for place in known.below), here.parent, here.parent.parent)
    for root, masks in product(roots, known.masks):
        places = {split: root / masks.format(part) for split, part in known.parts.items()}
        parts = {
            split: path
            for split, path in places.items()
            if here in (there := Path(os.path.abspath(path)), *there.parents)
            and any(re.fullmatch(known.maps, map_.stem) for map_ in path.rglob("*.png"))
        }
        if parts and (root / known.listed).exists():
            return root, parts
    return None


def _public(folder: Path, name: str, split: str | None) -> LabelSet | None:
    if (found := find_parts(folder, name)) is None:
        return None
    known, (root, parts) = PUBLIC[name], found
    if split is None:
        split = next(iter(parts)) if len(parts) == 1 and folder not in (root, root.parent) else known.usual
    if split not in parts:
        problem = f"{split}: {root} has no such labels; parts of {known.title} there: {', '.join(parts)}"
        raise UserError("split", problem)
    maps = {re.fullmatch(f"((?:.*/)?){known.maps}", key): path for key, path in find_maps(parts[split]).items()}
    files = {f"{match[1]}{match[2]}": path for match, path in maps.items() if match}
    classes, table = known.classes, _id_table(range(len(known.classes)), known.first, known.void)
    if name == "coco-stuff":
        table = _id_table(coco_stuff.fine_to_coarse().tolist())
        listing = next((p for at in (folder, *parts[split].parents[:3]) if (p := at / "labels.txt").is_file()), None)
        published = dict(enumerate(("unlabeled", *coco_stuff.LABELS)))
        if listing and read_class_list(listing, first=0) != published:
            raise UserError(listing, "is not COCO-Stuff's labels.txt, so pixel values would mean something else")
    if name == "ade20k":
        names = _object_info(root / known.listed)
        classes, table[list(names)] = tuple(names.values()), range(len(names))
    about = f"{known.title} in {root}, {split}: {plural(len(files), 'image')}, {len(classes)} classes"
    pictures = root / known.pictures.format(known.parts[split]) if known.pictures else None
    return LabelSet(name, about, classes, files, table, pictures, known.ending)


def _object_info(path: Path) -> dict[int, str]:
    """Id → the first of its names, from ADE20K's table, whose first and last columns are Idx and Name."""
    rows = [line.split("\t") for line in read_lines(path)[1:] if line.strip()]
    names = {row[0].strip(): row[-1].split(",")[0].strip() for row in rows}
    wrong = {i: names.get(i) for i, name in ADE20K_IDS.items() if names.get(i) != name}
    if wrong or names.keys() != {*map(str, range(1, ADE20K_LAST + 1))}:
        raise UserError(path, f"must name the ids 1 to {ADE20K_LAST} as published{f', not {wrong}' if wrong else ''}")
    return {int(number): name for number, name in names.items()}


def published_layout(folder: Path) -> str | None:
    """The public data set in a folder. VOC's and COCO-Stuff's layouts are those of other data sets, too."""
    return next((name for name in ("ade20k", "camvid", "cityscapes") if find_parts(folder, name)), None)


def open_published(folder: Path, layout: str, split: str | None = None) -> LabelSet:
    """The labels of a split of what `published_layout` found."""
    labels = _public(folder, layout, split)
    assert labels is not None
    return labels
