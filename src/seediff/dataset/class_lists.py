"""What the values, colours and labels of a set mean: one reader of class lists, and one of masks by such a list.

A list is a `classes.txt`, `class_names.txt` or `labels.txt` (labelme's) of names, or defines colours: `labelmap.txt`
(`name:r,g,b::`, CVAT's), `class_dict.csv` or `labelmap.csv` (`name,r,g,b`), or Datumaro's `dataset_meta.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from ..config.class_names import BACKGROUND, GROUNDS, IGNORED, read_class_list, reserved_id
from ..errors import UserError
from ..files.documents import fit, read_csv, read_json
from ..files.image_files import open_image, stored_pixels
from ..files.label_maps import IGNORE, voc_palette
from ..files.messages import show_json
from ..files.reading import composed, read_lines
from .rows import check_class_list

COLOUR_LISTS = ("labelmap.txt", "class_dict.csv", "labelmap.csv", "dataset_meta.json")
NAME_LISTS = ("classes.txt", "class_names.txt", "labels.txt")
WEIGHTS = np.array([65536, 256, 1], np.uint32)
"""Turns a colour (r, g, b) into one number."""
Channel = Annotated[int, msgspec.Meta(ge=0, le=255)]
Colour = tuple[Channel, Channel, Channel]
Note = Callable[[str], None] | None


@dataclass(frozen=True)
class ClassList:
    """classes: the names of ids 1, 2, … ids: stored value → id. colours: a colour's number → id, if the list defines
    colours. where: its name in errors. single: whether grey masks of 0 and 255 alone show the only class as 255."""

    classes: tuple[str, ...]
    ids: Mapping[int, int]
    colours: Mapping[int, int] | None = None
    where: object = "--classes"
    single: bool = False


def number_classes(
    names: Mapping[int, str],
    where: object,
    *,
    void: Collection[int] | None = None,
    classes: Sequence[str] | None = None,
    note: Note = None,
) -> ClassList:
    """The classes of a list of stored number → name, in the order of the numbers. A name of the background means id 0,
    and one of no class 255, except numbers that are not in `void`. classes: in the order of their ids, if the user
    named them. note: is told of several numbers with one meaning."""
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
    return ClassList(chosen, ids, where=where)


def named_classes(classes: Sequence[str]) -> ClassList:
    """The list of classes whose values count from 1."""
    return number_classes({0: BACKGROUND, **dict(enumerate(classes, 1))}, "--classes")


def number_labels(labels: Iterable[str], where: object, note: Note) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes among labels, in their order, and the id of each, and of each name that means 0 or 255."""
    names = dict(enumerate(labels))
    listed = number_classes(names, where, note=note)
    own = {name: number for number, name in enumerate(listed.classes, 1)}
    return listed.classes, {**dict.fromkeys(GROUNDS, 0), **dict.fromkeys(IGNORED, IGNORE), **own}


def check_meaning(classes: Sequence[str], *, void: bool = True) -> None:
    """Refuses a class whose name would be read back as id 0, or, if `void`, as 255."""
    words = {0: "the background", IGNORE: "pixels that are ignored"}
    for name in classes:
        meant = reserved_id(name)
        if meant == 0 or (void and meant == IGNORE):
            raise UserError(f"class '{name}': means {words[meant]} in this format; give it another name in classes.txt")


class Meta(msgspec.Struct, frozen=True):
    """Datumaro's. The ids of `label_map` are positions in `segmentation_colors`."""

    label_map: dict[int, str]
    segmentation_colors: list[list[int]]


def find_list(*folders: Path, classes: Sequence[str] | None = None, note: Note = None) -> ClassList | None:
    """The first list in these folders, one of colours before others, and one of names beside it must be equal: values
    would mean one thing and colours another. classes, note: as of `number_classes`; with classes, only colours are
    looked for."""
    path, plain = _first(folders, COLOUR_LISTS), None
    if classes is None:
        plain = _first(folders, NAME_LISTS)
    by_name = plain and _read_names(plain, note)
    if path is None:
        return by_name
    rows = list(_read_colours(path))
    names = {number: name for number, (name, *_) in enumerate(rows)}
    listed = number_classes(names, path, classes=classes, note=note)
    if by_name is not None and by_name.classes != listed.classes:
        raise UserError(path, f"and {plain} do not list the same classes in the same order", "remove one of them")
    # Unless the list says otherwise, black is the background and VOC's border is ignored.
    own, meant = dict[int, int](), voc_colours(0)
    for number, (name, parts, where) in enumerate(rows):
        colour = int(fit(parts, Colour, f"{where}: {show_json(name)} needs a colour r,g,b", strict=False) @ WEIGHTS)
        if own.setdefault(colour, number) != number and meant[colour] != listed.ids[number]:
            raise UserError(path, f"gives {show_json(name)} the same colour as another name")
        meant[colour] = listed.ids[number]
    return ClassList(listed.classes, listed.ids, meant, path)


def _first(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first of these files that is there, in the order of the names."""
    paths = [folder / name for name, folder in product(names, folders)]
    return next(filter(Path.is_file, paths), None)


def _read_names(path: Path, note: Note) -> ClassList:
    names = read_class_list(path)
    if max(names, default=0) > IGNORE:
        problem = f"names id {max(names)}; ids of label maps are 0 to {IGNORE - 1}, and {IGNORE} is ignored"
        raise UserError(path, problem)
    listed = number_classes(names, path, note=note)
    void = [show_json(name) for number, name in names.items() if listed.ids[number] == IGNORE != number]
    if note and void:
        note(f"{', '.join(void)} in {path} is no class: its pixels are ignored (255)")
    return replace(listed, ids={0: 0, **listed.ids})


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
    """A colour's number in VOC's palette → id, for ids 0 to `count` and 255."""
    colours = (np.array(voc_palette(), np.uint32).reshape(256, 3) @ WEIGHTS).tolist()
    return {colours[number]: number for number in (*range(count + 1), IGNORE)}


def read_mask(path: Path, listed: ClassList) -> np.ndarray:
    """(H, W) uint8 of ids. Grey values and indices of a palette are values of the list; 255 is ignored, and 65535 of 16
    bits. Colours decide in pictures in colours, unless they are greys of which VOC's palette does not have all, in
    palettes if the list defines colours, and in palettes where each index in use has a colour of VOC's, for a class of
    the list, that no earlier index has. In pictures that are all black or all white, the alpha channel is the mask."""
    return _read(path, listed)[0]


def _read(path: Path, listed: ClassList) -> tuple[np.ndarray, bool]:
    """As `read_mask`, and whether 255 is the only class of the list, by its `single`."""
    pixels, mode, entries = _stored(path, listed)
    stored = {IGNORE: IGNORE, **listed.ids}
    colours = listed.colours
    if colours is None:
        colours = {colour: stored[number] for colour, number in voc_colours(254).items() if number in stored}
    if pixels.ndim == 3 and listed.colours is None and (pixels == pixels[..., :1]).all():
        greys = np.unique(pixels[..., 0]) * WEIGHTS.sum()
        if not colours.keys() >= {*greys.tolist()}:
            pixels = pixels[..., 0]
    grey = pixels.ndim == 2 and mode != "P"
    if listed.single and grey and {*np.unique(pixels).tolist()} | {0} == {0, IGNORE}:
        return (pixels // IGNORE).astype(np.uint8), True

    # values: those whose ids are looked up; places: for each pixel, the position of its value.
    values, places, by_colour = np.arange(256), pixels, True
    if pixels.ndim == 3:
        values, places = np.unique(pixels @ WEIGHTS, return_inverse=True)
        places = places.reshape(pixels.shape[:2])
    elif mode == "P" and (listed.colours or _has_meaning(entries, np.unique(pixels).tolist(), colours)):
        values = np.array([*entries, *[1 << 24] * (256 - len(entries))])
    else:
        by_colour = False
    table = colours if by_colour else stored
    ids = np.array([table.get(value, -1) for value in values.tolist()])[places]
    if (ids < 0).any():
        wrong = int(values[places[ids < 0][0]])
        what, where = f"id {wrong}", listed.where
        if by_colour:
            what = f"the colour {','.join(str(wrong >> shift & 255) for shift in (16, 8, 0))}"
            if listed.colours is None:
                where = "VOC's palette; a labelmap.txt beside the folders says what colours are"
        raise UserError(path, f"has {what}, which is not a class of {where}")
    return ids.astype(np.uint8), False


def _stored(path: Path, listed: ClassList) -> tuple[np.ndarray, str, list[int]]:
    """The greys or indices (H, W) or colours (H, W, 3) of a mask, Pillow's mode, and its palette's colours as numbers.
    Raises UserError for a picture that is no mask."""
    with open_image(path) as image:
        kind = image.format
        palette = bytes(image.palette.palette if image.mode == "P" and image.palette else b"")
        pixels, mode = stored_pixels(image)
        shown = None
        if image.has_transparency_data:
            shown = np.asarray(image.convert("RGBA"))
    if kind == "PNG" and mode in ("I", "I;16"):
        pixels, mode = _narrow(pixels, path), "L"
    one_bit = mode == "1" and len(listed.classes) == 1 and listed.colours is None
    if kind != "PNG" or not (one_bit or mode in ("P", "L", "LA", "RGB", "RGBA")):
        single = "; one of 1 bit can only mean a single class" if mode == "1" else ""
        problem = f"is {kind} {mode} data; a mask is a PNG: palette, grey or in colours of 8 bits{single}"
        raise UserError(path, problem)
    if shown is not None:
        pixels = _without_alpha(pixels, shown, path, listed)
    if one_bit:
        pixels = pixels.astype(np.uint8)
    entries = np.frombuffer(palette[: len(palette) // 3 * 3], np.uint8).reshape(-1, 3) @ WEIGHTS
    return pixels, mode, entries.tolist()


def with_single(listed: ClassList, masks: Iterable[Path], note: Callable[[str], None]) -> ClassList:
    """The list, `single` if it names one class and the background. note: is told in which masks 255 is this class."""
    if len(listed.classes) != 1 or listed.colours or listed.ids.get(0) != 0 or listed.ids.get(IGNORE) == 1:
        return listed
    listed, name = replace(listed, single=True), listed.classes[0]
    white = other = 0
    for mask in masks:
        ids, is_white = _read(mask, listed)
        white += is_white
        other += not is_white and bool(ids.any())
    if white and not other:
        note(f"the only values in the masks are 0 and 255: 255 is '{name}', and nothing is ignored")
    elif white:
        note(f"255 is '{name}' in the {white} masks that have only 0 and 255, and ignored in the {other} others")
    return listed


def _without_alpha(pixels: np.ndarray, shown: np.ndarray, path: Path, listed: ClassList) -> np.ndarray:
    """The colours, greys or indices of a mask that may be transparent, or its alpha channel if that is the mask. shown:
    in RGBA. Raises UserError where transparent pixels are not black, or only the alpha channel varies."""
    colours, alpha = shown[..., :3], shown[..., 3]
    all_black_or_white = colours.max() == 0 or colours.min() == 255
    if all_black_or_white and pixels.ndim == 3 and listed.colours is None and alpha.min() < 255:
        return alpha
    even = (colours == colours[0, 0]).all()
    if alpha.min() < alpha.max() and (even or (pixels.ndim == 3 and colours[alpha == 0].any())):
        problem = "both its colours and its alpha channel may be the mask"
        raise UserError(path, problem, "save it without an alpha channel, or black where it is transparent")
    if pixels.ndim == 3:
        return pixels[..., 0] if pixels.shape[2] == 2 else colours
    return pixels


def _has_meaning(entries: list[int], used: Sequence[int], colours: Mapping[int, int]) -> bool:
    """Whether a palette says what its indices in use mean. Padding, a repeated colour or none does not."""
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
