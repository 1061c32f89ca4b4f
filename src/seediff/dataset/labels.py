"""Reads folders of labels as they are distributed: their files, their classes, and the class of each stored id.

folder: PNG label maps whose ids are the classes, with or without subfolders; names in a `classes.txt` in the folder or
beside it. voc: Pascal VOC, `SegmentationClass/*.png` for the names in `ImageSets/Segmentation/<split>.txt`; 21 classes,
id 0 is the background;
    other classes if there is a `classes.txt`.
coco-stuff: COCO-Stuff's pixel maps, `annotations/<split>2017/*.png`; 27 coarse classes. cityscapes:
`gtFine/<split>/<city>/*_gtFine_labelIds.png`; 27 classes, ids 7 … 33; other ids are void. camvid: SegNet's CamVid,
`<split>annot/*.png` (test by default), or one of these folders itself; 11 classes, id 11 is void. ade20k:
ADEChallengeData2016's `annotations/{training,validation}/*.png` and `objectInfo150.txt`; 150 classes, id 0 is void;
read by
    `open_published` only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ..config.names import BACKGROUND
from ..config.names import VOC_CLASSES as VOC_OBJECTS
from ..errors import UserError, first_line
from ..files.label_maps import PHOTO_ENDING, find_maps, map_folder, read_segment_ids, stem
from ..files.messages import counted, shown
from ..files.reading import read_lines
from . import coco_stuff

Layout = Literal["folder", "voc", "coco-stuff", "cityscapes", "camvid"]
DEFAULT_SPLITS = {"camvid": "test"}
"""Default split of layouts whose papers do not report results on `val`."""
DEFAULT_CLASSES = 27  # for a plain folder without classes.txt
UNLABELLED, UNKNOWN = -1, -2
IDS = 65536
MAX_CLASSES = 1024  # because matching compares every class with every segment

VOC_CLASSES = (BACKGROUND, *VOC_OBJECTS)
CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "signsymbol", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
CAMVID_PARTS = ("train", "val", "test")
CITYSCAPES_CLASSES = (
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole",
    "polegroup",
    "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus",
    "caravan", "trailer",
    "train", "motorcycle", "bicycle",
)  # fmt: skip
"""The classes of Cityscapes' ids 7 … 33 in order, without the void ids, as in PiCIE, STEGO and DiffSeg."""
CITYSCAPES_FIRST = 7
ADE20K_SPLITS = {"val": "validation", "train": "training"}
ADE20K_IDS, ADE20K_LAST = {13: "person", 21: "car", 81: "bus"}, 150
"""Entries that objectInfo150.txt must have, so that pixel values have their published meaning."""
PICTURES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG")


@dataclass(frozen=True, eq=False)
class LabelSet:
    """The labels of a data set.

    layout: the layout of the folder. about: a description in one line. classes: names, entry i is class i. files: name
    → file; a name is the path in the folder without ending (for Cityscapes without `_gtFine_labelIds`). table: (65536,)
    int32, the class of each stored id, −1 for unlabelled, −2 for an id that this layout does not have. ids: a
    description of the valid ids, for errors. images: the folder of the pictures, or None if the layout does not define
    it. ending: what the names of pictures append to those of labels.
    """

    layout: Layout | Literal["ade20k"]
    about: str
    classes: tuple[str, ...]
    files: Mapping[str, Path]
    table: np.ndarray
    ids: str
    images: Path | None = None
    ending: str = ""

    def picture(self, name: str) -> Path | None:
        """The picture of a label; None if there is none."""
        if self.images is None:
            return None
        return next(
            (path for suffix in PICTURES if (path := self.images / f"{name}{self.ending}{suffix}").is_file()), None
        )

    def read(self, name: str) -> np.ndarray:
        """(H, W) int32: classes, −1 = unlabelled. Raises UserError naming a file that cannot be read or has unknown
        ids.
        """
        stored = read_segment_ids(self.files[name])
        classes = self.table.take(stored, mode="wrap")  # −1 takes the last entry, 65535: unlabelled on disk too
        if classes.min(initial=0) == UNKNOWN:
            unknown = np.unique(stored[classes == UNKNOWN])
            listed = ", ".join(str(i) for i in unknown[:5]) + (", …" if len(unknown) > 5 else "")
            raise UserError(f"{self.files[name]}: has unknown label ids {listed}; {self.ids}")
        return classes

    def find(self, name: str) -> str | None:
        """The label for a photograph or prediction with this name (a path without ending): the label with the same
        name, or else the only label with the same last part. A label's name may lack the ending of Cityscapes'
        photographs. None if there is none, or several."""
        names = name, name.removesuffix(PHOTO_ENDING)
        if exact := next((one for one in names if one in self.files), None):
            return exact
        stems = {*map(stem, names)}
        same = [label for label in self.files if stem(label) in stems]
        return same[0] if len(same) == 1 else None


def open_labels(
    folder: Path | str,
    layout: Layout | Literal["auto"] = "auto",
    *,
    num_classes: int | None = None,
    split: str | None = None,
    void: Sequence[int] = (),
) -> LabelSet:
    """Finds the labels of a folder.

    Args:
        layout: a layout from the module's list, except ade20k; `auto` takes the first of Cityscapes, CamVid, VOC,
        COCO-Stuff that fits, or
            else `folder`.
        num_classes: for a plain folder, 1 to 1024; by default the number in its classes.txt, or 27. The other layouts
        have their own. split: the part of a data set with several; None: the part that `folder` is itself, or else val,
        or test for CamVid. void: ids in a plain folder to ignore, besides 255. The other layouts have their own.

    Raises UserError if the folder is missing or has another layout.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: there is no such folder of labels"
            if not folder.exists()
            else f"{folder}: must be a folder of labels"
        )
    if layout not in ("auto", *get_args(Layout)):
        raise UserError("layout", f"{layout} must be auto, {', '.join(get_args(Layout))}")
    readers = {"cityscapes": _cityscapes, "camvid": _camvid, "voc": _voc, "coco-stuff": _coco_stuff}
    labels, part = None, folder.name if folder.parent.name == "gtFine" else None
    for name, reader in readers.items():
        if layout in (name, "auto") and (
            labels := reader(folder, split or part or DEFAULT_SPLITS.get(name, "val"), layout == name)
        ):
            break
    if labels is None:
        return _folder(folder, num_classes, void)
    if void:
        raise UserError(
            "void", f"{labels.layout} labels have void ids of their own", "leave it out; it is for plain folders"
        )
    if num_classes not in (None, len(labels.classes)):
        raise UserError(
            f"num_classes = {num_classes}",
            f"{labels.layout} labels have {len(labels.classes)} classes",
            "leave it out, or read the label maps as a plain folder",
        )
    return labels


def select(labels: LabelSet, names: Path) -> LabelSet:
    """Only the labels that a text file lists, one name or path per line. Raises UserError naming an entry without a
    label.
    """
    lines = [line.strip() for line in read_lines(names)]
    files = {}
    for line in filter(None, lines):
        label = labels.find(re.sub(r"\.(png|jpe?g)$", "", line, flags=re.IGNORECASE))
        if label is None:
            raise UserError(f"{names}: lists '{line}', which is not the name of one label ({labels.about})")
        files[label] = labels.files[label]
    if not files:
        raise UserError(f"{names}: lists no names")
    return replace(labels, files=files, about=f"{labels.about}; {len(files)} of them listed in {names}")


def id_table(classes: Sequence[int], first: int = 0, void: Sequence[int] = ()) -> np.ndarray:
    """(65536,) int32: id first + i is class classes[i], `void` ids are unlabelled, and all other ids are unknown."""
    table = np.full(IDS, UNKNOWN, np.int32)
    table[first : first + len(classes)] = classes
    table[[*void, IDS - 1]] = UNLABELLED
    return table


def _folder(folder: Path, num_classes: int | None, void: Sequence[int]) -> LabelSet:
    where = map_folder(folder)
    files = find_maps(where)
    if not files:
        raise UserError(f"{where}: has no PNG files; labels are palette or grey PNG label maps")
    listing = next((path for path in (where / "classes.txt", where.parent / "classes.txt") if path.is_file()), None)
    names = class_names(listing) if listing else {}
    count = max(names, default=DEFAULT_CLASSES - 1) + 1 if num_classes is None else num_classes
    source = "given" if num_classes is not None else f"from {listing}" if names else "by default"
    _check_count(count, source)
    if bad := [number for number in void if not 0 <= number < IDS]:
        raise UserError("void", f"{bad[0]} must be ids of label maps, from 0 to {IDS - 1}")
    nothing = unlabelled_id(count)
    return LabelSet(
        "folder",
        f"label maps in {where}: {counted(len(files), 'image')}, {count} classes ({source})",
        tuple(names.get(i, str(i)) for i in range(count)),
        files,
        id_table(range(count), void=[*void, nothing]),
        f"num_classes = {count} ({source}) means ids 0 to {count - 1}, and {nothing} for unlabelled",
        folder / "images",
    )


def unlabelled_id(count: int) -> int:
    """The id of pixels without a class, for label maps of `count` classes: 255; or 65535 if 255 is a class, because
    label maps are then 16-bit."""
    return 255 if count <= 255 else IDS - 1


def _check_count(count: int, source: str) -> None:
    if not 1 <= count <= MAX_CLASSES:
        raise UserError("num_classes", f"{count} ({source})", f"must be between 1 and {MAX_CLASSES}")


def class_names(listing: Path) -> dict[int, str]:
    """Names by id from a classes.txt: one name per line from id 0, or every line `id name`; id 255 is not a class
    unless there are higher ids."""
    lines = [line.strip() for line in read_lines(listing)]
    lines = [line for line in lines if line]
    numbered = [re.fullmatch(r"(\d{1,5})[\s:]+(\S.*)", line) for line in lines]
    pairs = [(int(m[1]), m[2]) for m in numbered if m] if all(numbered) else list(enumerate(lines))
    highest = max((number for number, _ in pairs), default=0)
    names = {number: name for number, name in pairs if number != 255 or highest > 255}
    if len(set(names.values())) < len(names):
        raise UserError(f"{listing}: gives two classes the same name")
    return names


def _voc(folder: Path, split: str, asked: bool) -> LabelSet | None:
    root = next(
        (
            p
            for p in (folder, folder / "VOC2012", folder / "VOCdevkit" / "VOC2012")
            if (p / "SegmentationClass").is_dir()
        ),
        None,
    )
    if root is None:
        if asked:
            raise UserError(
                f"{folder}: is not laid out like Pascal VOC, SegmentationClass/ and ImageSets/Segmentation/{split}.txt"
            )
        return None
    listing = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not listing.is_file():
        raise UserError(f"{listing}: there is no such file; it lists the images of Pascal VOC's split '{split}'")
    lines, maps = [line.strip() for line in read_lines(listing) if line.strip()], root / "SegmentationClass"
    # A name may have spaces; but in VOC's lists of a class, a name is followed by 1 or -1.
    names = [line if (maps / f"{line}.png").is_file() else line.split()[0] for line in lines]
    files = {name: maps / f"{name}.png" for name in names}
    absent = [path for path in files.values() if not path.is_file()]
    if absent or not files:
        raise UserError(
            f"{absent[0]}: there is no such file, but {listing} lists it" if absent else f"{listing}: lists no images"
        )
    # Other data sets in this layout name their classes in a file.
    names = class_names(root / "classes.txt") if (root / "classes.txt").is_file() else dict(enumerate(VOC_CLASSES))
    _check_count(count := max(names, default=0) + 1, f"from {root / 'classes.txt'}")
    classes, nothing = tuple(names.get(i, str(i)) for i in range(count)), unlabelled_id(count)
    what = "Pascal VOC" if classes == VOC_CLASSES else "label maps in Pascal VOC's layout"
    about = f"{what} in {root}, {split}: {counted(len(files), 'image')}, {len(classes)} classes"
    ids = (
        f"{'Pascal VOC' if classes == VOC_CLASSES else root / 'classes.txt'} has 0 to {count - 1}, and {nothing} for"
        " borders"
    )
    return LabelSet("voc", about, classes, files, id_table(range(count), void=[nothing]), ids, root / "JPEGImages")


def _coco_stuff(folder: Path, split: str, asked: bool) -> LabelSet | None:
    part = f"{split}2017"
    below = (
        f"annotations/{part}",
        f"dataset/annotations/{part}",
        f"stuffthingmaps_trainval2017/{part}",
        f"annotation_{part}",
        part,
    )
    candidates = [folder / name for name in below] + ([folder] if folder.name in (part, f"annotation_{part}") else [])
    for where in candidates:
        # Only names that are COCO's image ids: other programs leave converted label maps beside the originals.
        files = (
            {path.stem: path for path in sorted(where.glob("*.png")) if re.fullmatch(r"\d{12}", path.stem)}
            if where.is_dir()
            else {}
        )
        if files:
            break
    else:
        if asked:
            raise UserError(f"{folder}: is not laid out like COCO-Stuff, annotations/{part}/000000000139.png and so on")
        return None
    for parent in dict.fromkeys((folder, *where.parents[:3])):
        if (parent / "labels.txt").is_file():
            _check_coco_labels(parent / "labels.txt")
            break
    about = f"COCO-Stuff in {where}: {counted(len(files), 'image')}, {len(coco_stuff.COARSE)} coarse classes"
    table = id_table(coco_stuff.fine_to_coarse().tolist(), void=[255])
    return LabelSet(
        "coco-stuff",
        about,
        coco_stuff.COARSE,
        files,
        table,
        "COCO-Stuff's pixel maps have 0 to 181, and 255 for unlabelled",
    )


def _check_coco_labels(path: Path) -> None:
    """Raises UserError if COCO-Stuff's labels.txt does not give the published ids, because pixel values would then mean
    something else.
    """
    expected = ["unlabeled", *coco_stuff.LABELS]
    listed = [line.strip() for line in read_lines(path) if line.strip()]
    for number, name in enumerate(expected):
        line = listed[number] if number < len(listed) else "nothing"
        if line != f"{number}: {name}":
            raise UserError(
                f"{path}, line {number + 1}: COCO-Stuff's labels.txt has '{number}: {name}' there, not '{line}'"
            )
    if len(listed) > len(expected):
        raise UserError(
            f"{path}, line {len(expected) + 1}: COCO-Stuff's labels.txt ends before '{listed[len(expected)]}'"
        )


def camvid_part(folder: Path) -> tuple[Path, str] | None:
    """The root folder of CamVid as SegNet's authors distribute it, and the part that the path names, or "" if it names
    none.

    None if it is not CamVid. A single part must have its original name, such as valannot/, and no classes.txt.
    """
    for root in (folder, folder / "CamVid"):
        if any((root / f"{part}annot").is_dir() for part in CAMVID_PARTS):
            return root, ""
    part_named = next((part for part in CAMVID_PARTS if folder.resolve().name == f"{part}annot"), None)
    if part_named is None or any((place / "classes.txt").is_file() for place in (folder, folder.parent)):
        return None
    return folder.resolve().parent, part_named


def _camvid(folder: Path, split: str, asked: bool) -> LabelSet | None:
    if (root_and_part := camvid_part(folder)) is None:
        if asked:
            raise UserError(f"{folder}: is not laid out like CamVid, {split}annot/*.png")
        return None
    root, part_name = root_and_part
    part = part_name or split
    maps = root / f"{part}annot"
    if not maps.is_dir():
        raise UserError(f"{maps}: there is no such folder; CamVid's splits are train, val and test")
    files = find_maps(maps)
    if not files:
        raise UserError(f"{maps}: has no PNG files")
    about = f"CamVid in {root}, {part}: {counted(len(files), 'image')}, {len(CAMVID_CLASSES)} classes"
    table = id_table(range(len(CAMVID_CLASSES)), void=[len(CAMVID_CLASSES), 255])
    return LabelSet(
        "camvid", about, CAMVID_CLASSES, files, table, "CamVid has 0 to 10, and 11 for no label", root / part
    )


def _cityscapes(folder: Path, split: str, asked: bool) -> LabelSet | None:
    ending = "_gtFine_labelIds"
    root = next((path for path in (folder, folder.parent) if path.name == "gtFine"), folder / "gtFine")
    if not root.is_dir() and not asked:
        return None
    paths = sorted((root / split).glob(f"*/*{ending}.png"))
    if not paths:
        raise UserError(
            f"{folder}: is not laid out like Cityscapes' split '{split}', gtFine/{split}/<city>/*{ending}.png"
        )
    files = {f"{path.parent.name}/{path.stem.removesuffix(ending)}": path for path in paths}
    table = id_table(range(len(CITYSCAPES_CLASSES)), first=CITYSCAPES_FIRST, void=[*range(CITYSCAPES_FIRST), 255])
    about = f"Cityscapes in {root}, {split}: {counted(len(files), 'image')}, {len(CITYSCAPES_CLASSES)} classes"
    pictures = root.parent / "leftImg8bit" / split
    return LabelSet(
        "cityscapes",
        about,
        CITYSCAPES_CLASSES,
        files,
        table,
        "Cityscapes' labelIds have 0 to 33",
        pictures,
        PHOTO_ENDING,
    )


def _ade20k(root: Path, split: str) -> LabelSet:
    part = ADE20K_SPLITS.get(split, split)
    names = _object_info(root / "objectInfo150.txt")
    maps = root / "annotations" / part
    if not maps.is_dir():
        raise UserError(f"{maps}: there is no such folder; ADE20K's splits are {', '.join(ADE20K_SPLITS)}")
    files = find_maps(maps)
    about = f"ADE20K in {root}, {part}: {len(files)} images, {len(names)} classes"
    table = id_table((), void=[0, 255])
    table[list(names)] = range(len(names))
    ids = f"ADE20K has 0 to {ADE20K_LAST}"
    return LabelSet("ade20k", about, tuple(names.values()), files, table, ids, root / "images" / part)


def _object_info(path: Path) -> dict[int, str]:
    """Id → the first of its names, from ADE20K's table with the tab-separated columns Idx, Ratio, Train, Val and
    Name.
    """
    try:
        lines = read_lines(path, absent="there is no such file; it names the classes of ADEChallengeData2016")[1:]
        rows = [line.split("\t") for line in lines if line.strip()]
        names = {int(row[0]): row[-1].split(",")[0].strip() for row in rows}
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as ADE20K's table of classes: {first_line(error)}") from error
    if strange := [number for number in names if not 0 <= number <= ADE20K_LAST]:
        raise UserError(f"{path}: there is an id {shown(strange[0])}, but ADE20K has 0 to {ADE20K_LAST}")
    for number, name in ADE20K_IDS.items():
        if names.get(number) != name:
            raise UserError(f"{path}: id {number} must be '{name}' as published, not '{names.get(number)}'")
    return names


Published = Literal["ade20k", "camvid", "cityscapes"]


def published_layout(folder: Path) -> Published | None:
    """The public data set in a folder, by the names of files and subfolders, or None. VOC and COCO-Stuff are not
    recognized, because other data sets use their layouts, too."""
    if _ade20k_root(folder):
        return "ade20k"
    if camvid_part(folder):
        return "camvid"
    return "cityscapes" if (folder / "gtFine").is_dir() or folder.name == "gtFine" else None


def _ade20k_root(folder: Path) -> Path | None:
    below = next(
        (root for root in (folder, folder / "ADEChallengeData2016") if (root / "objectInfo150.txt").exists()), None
    )
    return below or (folder if any((folder / "annotations" / "validation").glob("*.png")) else None)


def published_splits(folder: Path, layout: Published) -> list[str]:
    """The splits of a public data set that exist and have labels; never `test` for Cityscapes, whose labels are not
    public.
    """
    if layout == "ade20k":
        root = _ade20k_root(folder) or folder
        return [split for split, part in ADE20K_SPLITS.items() if (root / "annotations" / part).is_dir()]
    if layout == "cityscapes":
        root = folder if folder.name == "gtFine" else folder / "gtFine"
        return [split for split in ("train", "val") if (root / split).is_dir()]
    root, part = camvid_part(folder) or (folder, "")
    return [part] if part else [split for split in CAMVID_PARTS if (root / f"{split}annot").is_dir()]


def open_published(folder: Path, layout: Published, split: str | None = None) -> LabelSet:
    """The labels of a split of a public data set; None: val, or test for CamVid. Raises UserError like
    `open_labels`.
    """
    if layout == "ade20k":
        return _ade20k(_ade20k_root(folder) or folder, split or "val")
    return open_labels(folder, layout, split=split)
