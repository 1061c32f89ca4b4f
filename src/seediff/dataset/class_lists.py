"""What the values, colours and labels of a set mean: reads class lists, and masks by such a list.

A list has names: `classes.txt`, `class_names.txt` or labelme's `labels.txt`. Or it defines colours: CVAT's
`labelmap.txt` (`name:r,g,b::`), `class_dict.csv` or `labelmap.csv` (`name,r,g,b`), or Datumaro's `dataset_meta.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import msgspec
import numpy as np

from ..config.class_names import BACKGROUND, GROUNDS, IGNORED, read_class_list, reserved_id
from ..errors import UserError
from ..files.documents import Byte, fit, read_csv, read_json
from ..files.image_files import open_image, stored_pixels
from ..files.label_maps import IGNORE, voc_palette
from ..files.messages import show_json
from ..files.reading import composed, read_lines
from .rows import check_class_list

COLOUR_LISTS = ("labelmap.txt", "class_dict.csv", "labelmap.csv", "dataset_meta.json")
NAME_LISTS = ("classes.txt", "class_names.txt", "labels.txt")
WEIGHTS = np.array([65536, 256, 1], np.uint32)
"""Turns a colour (r, g, b) into one number."""
Colour = tuple[Byte, Byte, Byte]
Note = Callable[[str], None] | None


@dataclass(frozen=True)
class ClassList:
    """What stored values mean."""

    classes: tuple[str, ...]
    """The names of ids 1, 2, …"""
    ids: Mapping[int, int]
    """Stored value → id."""
    colours: Mapping[int, int] | None = None
    """A colour's number → id; None if the list does not define colours."""
    where: object = "--classes"
    """The list's name in errors."""
    single: bool = False
    """Whether 255 is the only class of the list in grey masks that have no other value but 0."""


def number_classes(
    names: Mapping[int, str],
    where: object,
    *,
    void: Collection[int] | None = None,
    classes: Sequence[str] | None = None,
    note: Note = None,
) -> ClassList:
    """The list of classes of stored number → name, in the order of the numbers. A name of the background means id 0. A
    name such as `ignore` means 255; with `void`, only for the numbers in it. classes: the classes in the order of their
    ids, if the user named them. note: called with a line about several numbers of one meaning. Raises UserError."""
    ids: dict[int, int] = {}
    listed: dict[int, str] = {}
    for number, name in sorted(names.items()):
        name, meant = composed(name.strip()), reserved_id(name.strip())
        if meant == 0 or (meant == IGNORE and (void is None or number in void)):
            ids[number] = meant
        else:
            listed[number] = name
    chosen = tuple(map(composed, dict.fromkeys(listed.values()) if classes is None else classes))
    check_class_list(chosen, where)
    own = {name: number for number, name in enumerate(chosen, 1)}
    for number, name in listed.items():
        if name not in own:
            raise UserError("classes", f"does not name {show_json(name)}, which is a class of {where}")
        ids[number] = own[name]
    for name, class_id in {BACKGROUND: 0, **own}.items():
        same = [names[number].strip() for number in sorted(names) if ids[number] == class_id]
        if note and len(same) > 1:
            note(f"{', '.join(map(show_json, same))} in {where} become one class: {name}")
    kept = [show_json(name) for name in chosen if reserved_id(name) == IGNORE]
    if note and kept:
        note(f"{', '.join(kept)} in {where}: kept as a class; in label maps, pixels of this name are ignored")
    return ClassList(chosen, ids, where=where)


def named_classes(classes: Sequence[str]) -> ClassList:
    """The list of classes whose stored values count from 1."""
    return number_classes({0: BACKGROUND, **dict(enumerate(classes, 1))}, "--classes")


def number_labels(labels: Iterable[str], where: object, note: Note) -> tuple[tuple[str, ...], dict[str, int]]:
    """(classes, ids): the classes among labels, in their order; and the id of each class and of each name that means 0
    or 255."""
    names = dict(enumerate(labels))
    class_list = number_classes(names, where, note=note)
    own = {name: number for number, name in enumerate(class_list.classes, 1)}
    return class_list.classes, {**dict.fromkeys(GROUNDS, 0), **dict.fromkeys(IGNORED, IGNORE), **own}


def check_meaning(classes: Sequence[str], *, void: bool = True) -> None:
    """Raise UserError for a class whose name would be read back as id 0, or, if `void`, as 255."""
    words = {0: "the background", IGNORE: "pixels that are ignored"}
    for name in classes:
        meant = reserved_id(name)
        if meant == 0 or (void and meant == IGNORE):
            fix = "give it another name in classes.txt, and in metadata.jsonl"
            raise UserError(f"class '{name}'", f"means {words[meant]} in this format", fix)


class Meta(msgspec.Struct, frozen=True):
    """Datumaro's `dataset_meta.json`. The ids of `label_map` are positions in `segmentation_colors`."""

    label_map: dict[int, str]
    segmentation_colors: list[list[int]]


def find_list(*folders: Path, classes: Sequence[str] | None = None, note: Note = None) -> ClassList | None:
    """The first list in these folders; None if there is none. A list of colours goes before a list of names, which must
    have the same classes: otherwise values would mean one thing and colours another. classes, note: as for
    `number_classes`; with `classes`, only lists of colours are searched. Raises UserError."""
    path, plain = _first(folders, COLOUR_LISTS), None
    if classes is None:
        plain = _first(folders, NAME_LISTS)
    by_name = plain and _read_names(plain, note)
    if path is None:
        return by_name
    rows = list(_read_colours(path))
    names = {number: name for number, (name, *_) in enumerate(rows)}
    class_list = number_classes(names, path, classes=classes, note=note)
    _tell_void(names, class_list, note)
    if by_name is not None and by_name.classes != class_list.classes:
        raise UserError(path, f"and {plain} do not list the same classes in the same order", "remove one of them")
    # Unless the list says otherwise, black is the background and VOC's border is ignored.
    own, meant = dict[int, int](), voc_colours(0)
    for number, (name, parts, where) in enumerate(rows):
        colour = int(fit(parts, Colour, f"{where}: {show_json(name)} needs a colour r,g,b", strict=False) @ WEIGHTS)
        if own.setdefault(colour, number) != number and meant[colour] != class_list.ids[number]:
            raise UserError(path, f"gives {show_json(name)} the same colour as another name")
        meant[colour] = class_list.ids[number]
    return ClassList(class_list.classes, class_list.ids, meant, path)


def _first(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first of these files that exists, in the order of the names."""
    paths = [folder / name for name, folder in product(names, folders)]
    return next(filter(Path.is_file, paths), None)


def _read_names(path: Path, note: Note) -> ClassList:
    """The list in a file of names. Raises UserError."""
    names = read_class_list(path)
    if max(names, default=0) > IGNORE:
        problem = f"names id {max(names)}; ids of label maps are 0 to {IGNORE - 1}, and {IGNORE} is ignored"
        raise UserError(path, problem)
    class_list = number_classes(names, path, note=note)
    _tell_void(names, class_list, note)
    return replace(class_list, ids={0: 0, **class_list.ids})


def _tell_void(names: Mapping[int, str], listed: ClassList, note: Note) -> None:
    void = [show_json(name) for number, name in names.items() if listed.ids[number] == IGNORE != number]
    if note and void:
        note(f"{', '.join(void)} in {listed.where} is no class: its pixels are ignored (255)")


def _read_colours(path: Path) -> Iterator[tuple[str, Sequence[object], str]]:
    """(name, colour, place in the file) of each line."""
    if path.suffix == ".csv":
        for number, row in read_csv(path, ["name", *"rgb"]):
            yield row["name"].strip(), [row[part] for part in "rgb"], f"{path}, line {number}"
    elif path.suffix == ".json":
        meta = read_json(path, Meta)
        for number, name in sorted(meta.label_map.items()):
            yield name, dict(enumerate(meta.segmentation_colors)).get(number, []), str(path)
    else:
        for number, line in enumerate(read_lines(path), 1):
            if line.strip() and line[0] != "#":
                name, _, rest = line.partition(":")
                parts = [part.strip().lstrip("0") or "0" for part in rest.partition(":")[0].split(",")]
                yield name.strip(), parts, f"{path}, line {number}"


def voc_colours(count: int) -> dict[int, int]:
    """Number of a colour in VOC's palette → id, for the ids 0 to `count` and 255."""
    colours = (np.array(voc_palette(), np.uint32).reshape(256, 3) @ WEIGHTS).tolist()
    return {colours[number]: number for number in (*range(count + 1), IGNORE)}


def read_mask(path: Path, class_list: ClassList) -> np.ndarray:
    """(H, W) uint8 of ids. Raises UserError. The id of a pixel follows from its value, which is

    1. the stored number in a grey picture or palette; 255, and 65535 of 16 bits, are ignored;
    2. the colour in a picture in colours, unless it has greys alone, of which VOC's palette lacks one;
    3. the colour in a palette, if the list defines colours, or if each index in use has a colour of VOC's palette, for
       a class of the list, that no earlier index has.

    In pictures that are all black or all white, the alpha channel is the mask.
    """
    return _read(path, class_list)[0]


def _read(path: Path, class_list: ClassList) -> tuple[np.ndarray, bool]:
    """(ids, is_single): the ids as `read_mask` returns them, and whether `class_list.single` decided that 255 is the
    only class."""
    pixels, mode, entries = _stored(path, class_list)
    stored = {IGNORE: IGNORE, **class_list.ids}
    colours = class_list.colours
    if colours is None:
        colours = {colour: stored[number] for colour, number in voc_colours(254).items() if number in stored}
    if pixels.ndim == 3 and class_list.colours is None and (pixels == pixels[..., :1]).all():
        greys = np.unique(pixels[..., 0]) * WEIGHTS.sum()
        if not colours.keys() >= {*greys.tolist()}:
            pixels = pixels[..., 0]
    grey = pixels.ndim == 2 and mode != "P"
    if class_list.single and grey and {*np.unique(pixels).tolist()} | {0} == {0, IGNORE}:
        return (pixels // IGNORE).astype(np.uint8), True

    # The values in the table of ids, and for each pixel the position of its value among them.
    table, values, at = colours, np.arange(256), pixels
    if pixels.ndim == 3:
        values, at = np.unique(pixels @ WEIGHTS, return_inverse=True)
        at = at.reshape(pixels.shape[:2])
    elif mode == "P" and (class_list.colours or _has_meaning(entries, np.unique(pixels).tolist(), colours)):
        values = np.array([*entries, *[1 << 24] * (256 - len(entries))])
    else:
        table = stored
    ids = np.array([table.get(value, -1) for value in values.tolist()])[at]
    if (ids < 0).any():
        wrong = int(values[at[ids < 0][0]])
        what, where = f"id {wrong}", class_list.where
        if table is colours:
            what = f"the colour {','.join(str(wrong >> shift & 255) for shift in (16, 8, 0))}"
            if class_list.colours is None:
                where = "VOC's palette; a labelmap.txt beside the folders says what colours are"
        raise UserError(path, f"has {what}, which is not a class of {where}")
    return ids.astype(np.uint8), False


def _stored(path: Path, class_list: ClassList) -> tuple[np.ndarray, str, list[int]]:
    """(pixels, mode, entries): the greys or indices (H, W) or colours (H, W, 3) of a mask, Pillow's mode, and the
    palette's colours as numbers. Raises UserError for a picture that cannot be a mask."""
    with open_image(path) as image:
        kind = image.format
        palette = bytes(image.palette.palette if image.mode == "P" and image.palette else b"")
        pixels, mode = stored_pixels(image)
        shown = None
        if image.has_transparency_data:
            shown = np.asarray(image.convert("RGBA"))
    if kind == "PNG" and mode in ("I", "I;16"):
        pixels, mode = _narrow(pixels, path), "L"
    one_bit = mode == "1" and len(class_list.classes) == 1 and class_list.colours is None
    if kind != "PNG" or not (one_bit or mode in ("P", "L", "LA", "RGB", "RGBA")):
        single = "; one of 1 bit can only mean a single class" if mode == "1" else ""
        problem = f"is {kind} {mode} data; a mask is a PNG: palette, grey or in colours of 8 bits{single}"
        raise UserError(path, problem)
    if shown is not None:
        pixels = _without_alpha(pixels, shown, path, class_list)
    if one_bit:
        pixels = pixels.astype(np.uint8)
    entries = np.frombuffer(palette[: len(palette) // 3 * 3], np.uint8).reshape(-1, 3) @ WEIGHTS
    return pixels, mode, entries.tolist()


def with_single(class_list: ClassList, masks: Iterable[Path], note: Callable[[str], None]) -> ClassList:
    """The list; `single` if it names one class and the background. note: called with a line about the masks in which
    255 is this class."""
    ids = class_list.ids
    if len(class_list.classes) != 1 or class_list.colours or ids.get(0) != 0 or ids.get(IGNORE) == 1:
        return class_list
    class_list, name = replace(class_list, single=True), class_list.classes[0]
    white = other = 0
    for mask in masks:
        labels, is_white = _read(mask, class_list)
        white += is_white
        other += not is_white and bool(labels.any())
    if white and not other:
        note(f"the only values in the masks are 0 and 255: 255 is '{name}', and nothing is ignored")
    elif white:
        note(f"255 is '{name}' in the {white} masks that have only 0 and 255, and ignored in the {other} others")
    return class_list


def _without_alpha(pixels: np.ndarray, shown: np.ndarray, path: Path, class_list: ClassList) -> np.ndarray:
    """The colours, greys or indices of a mask with transparency, or its alpha channel if that is the mask. shown: the
    picture (H, W, 4) in RGBA. Raises UserError if transparent pixels are not black, or only the alpha channel
    varies."""
    colours, alpha = shown[..., :3], shown[..., 3]
    all_black_or_white = colours.max() == 0 or colours.min() == 255
    if all_black_or_white and pixels.ndim == 3 and class_list.colours is None and alpha.min() < 255:
        return alpha
    even = (colours == colours[0, 0]).all()
    if alpha.min() < alpha.max() and (even or (pixels.ndim == 3 and colours[alpha == 0].any())):
        problem = "both its colours and its alpha channel may be the mask"
        raise UserError(path, problem, "save it without an alpha channel, or black where it is transparent")
    if pixels.ndim == 3:
        return pixels[..., 0] if pixels.shape[2] == 2 else colours
    return pixels


def _has_meaning(entries: list[int], used: Sequence[int], colours: Mapping[int, int]) -> bool:
    """Whether a palette says what its indices in use mean. An index without a colour or with an earlier index's colour,
    such as padding, says nothing."""
    if used[-1] >= len(entries):
        return False
    return all(entries[index] in colours and entries.index(entries[index]) == index for index in used)


def _narrow(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Ids of 16 bits as uint8."""
    pixels = np.where(pixels == 65535, IGNORE, pixels)
    if pixels.max() > IGNORE:
        raise UserError(
            path, f"has id {pixels.max()}; ids of label maps are 0 to {IGNORE - 1}, and {IGNORE} is ignored"
        )
    return pixels.astype(np.uint8)
