"""`preview.html`: one page that shows what is in a dataset and how its masks were made. A browser needs nothing else,
because pictures are embedded. The same dataset always gives the same bytes: there are no dates and no paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config.class_names import SEGMENT
from ..drawing.colours import css_colour, shown_ids
from ..drawing.overlays import data_uri, draw_mask, jpeg_uri, shrink
from ..errors import UserError
from ..files.image_files import in_rgb, open_image, read_pixels
from ..files.outputs import write_atomic
from ..files.photo_files import without_suffix
from ..files.reading import inside, read_bytes
from ..masks.flags import explain_flag, flag_kind
from .card import dataset_card
from .tables import SampleRow, count_classes, flat_config, operations_of, plain_facts, row_classes
from .templates import render

STEPS = "steps"
"""The folder of strips: steps/NAME_3.png shows how the mask of class 3 in sample NAME was made."""
AUGMENTATIONS = "augmentations.jpg"
"""The picture in a set from `augment` that shows a sample before and after each kind of addition."""
MOST_IMAGES, MOST_STRIPS = 60, 8
SIDE = 256
"""The longer side of the page's pictures in pixels."""


@dataclass(frozen=True)
class ClassTag:
    """A class's name and its colour in masks, such as #ff870f."""

    name: str
    colour: str


@dataclass(frozen=True)
class Tile:
    """A sample on the page."""

    name: str
    image: str
    mask: str
    """Image and mask as data URIs."""
    shares: str
    """What the mask covers, in words."""
    prompt: str
    about: str
    classes: Sequence[ClassTag]
    flags: Sequence[str]


@dataclass(frozen=True)
class Strip:
    """The steps of one class's mask in one sample."""

    sample: str
    prompt: str
    shown: ClassTag
    image: str
    """The strip as a data URI."""


def write_reports(
    folder: Path,
    about: Mapping[str, Any],
    rows: Sequence[SampleRow],
    classes: Sequence[str],
    *,
    drawn: bool | None = None,
) -> None:
    """Write the card and the page of a native dataset. Arguments as in `dataset_card` and `write_page`."""
    write_atomic(folder / "README.md", dataset_card(about, rows, classes, drawn=drawn).encode("utf-8"))
    write_page(folder, about, rows, classes)


def write_page(folder: Path, about: Mapping[str, Any], rows: Sequence[SampleRow], classes: Sequence[str]) -> Path:
    """Write preview.html into the folder of a native dataset, from its files, and return its path.

    about: `model`, `method`, `config` (shown folded), `rejected` (from `count_flags`), `prompts` (templates), and any
    number or text for the header. rows: those of metadata.jsonl. classes: label i + 1 is classes[i]. Raises UserError
    for a row's picture that is missing, unreadable or outside the folder."""
    counts = count_classes(rows, classes, about.get("rejected"))
    tags = [ClassTag(name, css_colour(label)) for label, name in enumerate(classes, 1)]
    kinds = sorted({*map(flag_kind, chain.from_iterable(row.get("flags") or () for row in rows))})
    sheet = folder / AUGMENTATIONS
    page = render(
        "page.html.j2",
        names=classes,
        facts=plain_facts({"images": len(rows), **about}),
        prompts=list(about.get("prompts") or ()),
        config=flat_config(about.get("config") or {}),
        rejected=any(count.rejected for count in counts),
        classes=list(zip(tags, [count.cells() for count in counts], strict=True)),
        images=len(rows),
        unchecked="model" in about,
        flagged=sum(bool(row.get("flags")) for row in rows),
        flags=[(kind, explain_flag(kind)) for kind in kinds],
        tiles=list(_tiles(folder, rows, tags)),
        augmentations=data_uri("jpeg", read_bytes(sheet)) if sheet.is_file() else "",
        strips=list(_strips(folder, rows, tags)),
        ignore_colour=css_colour(255),
    )
    path = folder / "preview.html"
    write_atomic(path, page.encode("utf-8"))
    return path


def pick_evenly(groups: Sequence[Sequence[str]], count: int) -> list[int]:
    """The positions of at most `count` items, in rising order: as far as possible an equal number from each group,
    spread over its length. groups: for each item a list with the name of its group; empty: it is in no group."""
    members: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        members.setdefault(group[0] if group else "", []).append(position)
    quota = dict.fromkeys(members, 0)
    left = min(count, len(groups))
    while left:
        for name in members:
            if left and quota[name] < len(members[name]):
                quota[name] += 1
                left -= 1
    picked: list[int] = []
    for name, positions in members.items():
        picked += [positions[i * len(positions) // quota[name]] for i in range(quota[name])]
    return sorted(picked)


def _tiles(folder: Path, rows: Sequence[SampleRow], tags: Sequence[ClassTag]) -> Iterator[Tile]:
    """Tiles of some of the samples, evenly over their first classes."""
    labels = {tag.name: label for label, tag in enumerate(tags, 1)}
    for position in pick_evenly([row_classes(row)[:1] for row in rows], MOST_IMAGES):
        row = rows[position]
        image, label_map = _read_pair(folder, row, position)
        names, name = row_classes(row), _sample_name(row["file_name"])
        shares = [f"{name} {(label_map == labels[name]).mean():.0%} of the image" for name in names]
        numbers = None
        if SEGMENT in labels and "instances" in row:  # the class alone would show nothing
            numbers, *_ = read_pixels(inside(folder, f"instances/{name}.png"))
            label_map = shown_ids(label_map, numbers, labels[SEGMENT], alone=len(labels) == 1)
        about = [name, operations_of(row)]
        if row.get("review", {}).get("corrected"):
            about.append("corrected by hand")
        if row.get("seed") is not None:
            about.insert(1, f"seed {row['seed']}")
        yield Tile(
            name=name,
            image=jpeg_uri(shrink(image, SIDE, Image.Resampling.LANCZOS)),
            mask=jpeg_uri(draw_mask(image, label_map, SIDE, numbers)),
            shares=", ".join(shares) or "no class",
            prompt=str(row.get("source") or row.get("prompt", "")),  # photographs do not show one
            about=" · ".join(filter(None, about)),
            classes=[tags[labels[name] - 1] for name in names],
            flags=list(row.get("flags") or ()),
        )


def _read_pair(folder: Path, row: SampleRow, position: int) -> tuple[np.ndarray, np.ndarray]:
    """A row's image (H, W, 3) and label map (H, W), both uint8."""
    where = f"row {position + 1}"
    keys = ("file_name", "mask_file_name")
    image_path, mask_path = (inside(folder, row.get(key), where, key) for key in keys)
    shown = [f"{where}: '{key}' {row.get(key)!r}" for key in keys]
    with open_image(image_path, shown[0]) as opened:
        image = np.asarray(in_rgb(opened, shown[0]))
    with open_image(mask_path, shown[1]) as mask:
        if mask.mode not in ("P", "L", "1"):
            raise UserError(f"{shown[1]} is a {mask.mode} picture; masks hold class numbers (palette or grey)")
        label_map = np.asarray(mask).astype(np.uint8)
    if label_map.shape != image.shape[:2]:
        sizes = [f"{array.shape[1]}×{array.shape[0]}" for array in (image, label_map)]
        raise UserError(f"{where}: image is {sizes[0]} but its mask {sizes[1]}")
    return image, label_map


def _strips(folder: Path, rows: Sequence[SampleRow], tags: Sequence[ClassTag]) -> Iterator[Strip]:
    """For each class, the first strip of a mask's steps."""
    prompts = {_sample_name(row["file_name"]): str(row.get("prompt", "")) for row in rows}
    shown: set[int] = set()
    for path in sorted((folder / STEPS).rglob("*.png")):
        name, _, number = path.relative_to(folder / STEPS).with_suffix("").as_posix().rpartition("_")
        label = int(number) if number.isdecimal() else 0
        if name not in prompts or not 0 < label <= len(tags) or label in shown or len(shown) == MOST_STRIPS:
            continue
        shown.add(label)
        image = data_uri("png", read_bytes(inside(folder, path)))
        yield Strip(name, prompts[name], tags[label - 1], image)


def _sample_name(file_name: str) -> str:
    return without_suffix(file_name).removeprefix("images/")
