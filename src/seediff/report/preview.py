"""`preview.html`: one page that shows what is in a dataset and how its masks were made.

Pictures are embedded, nothing is fetched, and the same dataset always gives the same bytes (no dates, no paths).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import UserError
from ..files.label_maps import voc_palette
from ..files.outputs import write_atomic
from ..files.pictures import in_rgb, open_picture
from ..files.reading import inside
from ..masks.flags import explain_flag, flag_kind
from ..masks.steps import BEFORE_PAMR
from .explain import AFTER_PAMR, WITHOUT_PAMR, Explanation, explain_mask, explain_step
from .pictures import (
    VIRIDIS_ANCHORS,
    contact_sheet,
    data_uri,
    encode_picture,
    heat_uri,
    jpeg_uri,
    overlay,
    shrink,
    to_levels,
)
from .saved_steps import TracedSample
from .tables import Row, count_classes, flat_config, of_photograph, plain_facts, row_classes
from .templates import render

GRID_IMAGES = 60
SIDE = 256  # longer side in pixels of the pictures


def write_preview(
    out: Path,
    *,
    summary: Mapping[str, Any],
    rows: Sequence[Row],
    class_names: Sequence[str],
    steps: Sequence[TracedSample],
    traced_images: int = 4,
    augmentations: bytes | None = None,
) -> Path:
    """Write `out/preview.html`, atomically, and return its path.

    summary: `model`, `method`, `config` (shown folded), `rejected` (class → reason → count), `prompts` (templates), and
    any number or text for the header. rows: those of metadata.jsonl. class_names: label i + 1 is class_names[i]. steps:
    the first of each class is shown, at most `traced_images`. augmentations: a JPEG from `before_after`. Raises
    UserError for a row's picture that is missing, unreadable or outside `out`."""
    classes = count_classes(rows, class_names, summary.get("rejected"))
    flags = sorted({flag_kind(flag) for row in rows for flag in row.get("flags") or ()})
    page = render(
        "preview.html.j2",
        title="SeeDiff dataset: " + (", ".join(class_names[:5]) + (" …" if len(class_names) > 5 else "") or "empty"),
        facts=header_facts(summary, rows),
        prompts=list(summary.get("prompts") or ()),
        config=flat_config(summary.get("config") or {}),
        classes=[{"made": c.made, "colour": _colour(label), **c.cells()} for label, c in enumerate(classes, 1)],
        flags=[(kind, explain_flag(kind)) for kind in flags if explain_flag(kind)],
        tiles=_tiles(out, rows, class_names),
        images=len(rows),
        augmentations=data_uri("jpeg", augmentations) if augmentations else "",
        traced=[
            _traced_view(traced, class_names, str(summary.get("method", "seediff")))
            for traced in list({traced.class_name: traced for traced in reversed(steps)}.values())[::-1][:traced_images]
        ],
        drawn=not any(map(of_photograph, rows)),
        heat=", ".join(f"#{c}" for c in VIRIDIS_ANCHORS),
        ignore_colour=_colour(255),
    )
    path = out / "preview.html"
    write_atomic(path, page.encode("utf-8"))
    return path


def shown_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows whose pictures `write_preview` reads."""
    return [rows[position] for position in _shown(rows)]


def _shown(rows: Sequence[Row]) -> list[int]:
    return pick_evenly([row_classes(row)[:1] for row in rows], GRID_IMAGES)


def header_facts(summary: Mapping[str, Any], rows: Sequence[Row]) -> list[tuple[str, str]]:
    """(name, value) pairs of the page's header: model and method, counts, then the summary's other plain values."""
    first = {key: summary[key] for key in ("model", "method") if key in summary}
    counts = {"images": len(rows), "flagged": sum(bool(row.get("flags")) for row in rows)}
    return plain_facts({**first, **counts, **{key: value for key, value in summary.items() if key not in counts}})


def pick_evenly(groups: Sequence[Sequence[str]], count: int) -> list[int]:
    """Positions of at most `count` items, in rising order: an equal number from each group as far as possible, spread
    over its length. groups: each item's group, as a list of one name or none."""
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
    return sorted(
        positions[i * len(positions) // quota[name]] for name, positions in members.items() for i in range(quota[name])
    )


def _tiles(out: Path, rows: Sequence[Row], class_names: Sequence[str]) -> list[dict[str, Any]]:
    labels = {name: i + 1 for i, name in enumerate(class_names)}
    tiles = []
    for position in _shown(rows):
        row = rows[position]
        image, label_map = _read_pair(out, row, position)
        shares = [f"{name} {(label_map == labels[name]).mean():.0%} of the image" for name in row_classes(row)]
        tiles.append(
            {
                "image": jpeg_uri(shrink(image, SIDE, Image.Resampling.LANCZOS)),
                "mask": jpeg_uri(draw_mask(image, label_map, SIDE)),
                "name": Path(row["file_name"]).with_suffix("").as_posix().removeprefix("images/"),
                "prompt": str(row.get("prompt", "")),
                "seed": row.get("seed"),
                "recipe": operations_of(row),
                "classes": [
                    {"label": labels[name], "name": name, "colour": _colour(labels[name])} for name in row_classes(row)
                ],
                "flags": [{"text": flag, "why": explain_flag(flag)} for flag in row.get("flags") or ()],
                "alt": f"mask: {', '.join(shares) or 'no class'}",
            }
        )
    return tiles


def _read_pair(out: Path, row: Row, position: int) -> tuple[np.ndarray, np.ndarray]:
    """A row's image (H, W, 3) and label map (H, W), both uint8."""
    where, arrays = f"row {position + 1}", []
    for key in ("file_name", "mask"):
        shown = f"{where}: '{key}' {row.get(key)!r}"
        with open_picture(inside(out, row.get(key), where, key), shown) as picture:
            if key == "mask" and picture.mode not in ("P", "L", "1"):
                raise UserError(f"{shown} is a {picture.mode} picture; masks hold class numbers (palette or grey)")
            arrays.append(np.asarray(picture).astype(np.uint8) if key == "mask" else np.asarray(in_rgb(picture, shown)))
    image, label_map = arrays
    if label_map.shape != image.shape[:2]:
        sizes = [f"{array.shape[1]}×{array.shape[0]}" for array in arrays]
        raise UserError(f"{where}: image is {sizes[0]} but its mask {sizes[1]}")
    return image, label_map


def _traced_view(traced: TracedSample, class_names: Sequence[str], method: str) -> dict[str, Any]:
    steps, before = [], []
    for step, values in traced.steps:
        explanation = explain_step(step, before=before, method=method)
        steps.append(_step(str(step).replace("_", "-"), explanation, heat_uri(values), values))
        before.append(step)
    soft = [("soft mask", WITHOUT_PAMR, traced.before_pamr)]
    if traced.after_pamr is not None:
        first = explain_step(BEFORE_PAMR, method=method)
        soft = [("before PAMR", first, traced.before_pamr), ("after PAMR", AFTER_PAMR, traced.after_pamr)]
    for name, explanation, values in soft:
        levels = shrink(to_levels(values), SIDE, Image.Resampling.BILINEAR)
        steps.append(_step(name, explanation, heat_uri(levels / 255), values))
    final = explain_mask(method)
    known = traced.class_name in class_names
    return {
        "image": traced.name,
        "name": traced.class_name,
        "prompt": traced.prompt,
        "colour": _colour(class_names.index(traced.class_name) + 1) if known else "transparent",
        "photo": jpeg_uri(shrink(traced.image, SIDE, Image.Resampling.LANCZOS)),
        "shape": f"{traced.image.shape[1]}/{traced.image.shape[0]}",
        "steps": steps,
        "final": {"picture": jpeg_uri(draw_mask(traced.image, traced.label_map, SIDE)), **final._asdict()},
    }


def _step(name: str, explanation: Explanation, picture: str, values: np.ndarray) -> dict[str, Any]:
    height, width = values.shape
    seeds = f", {int(values.sum())} of {values.size} positions" if values.dtype == bool else ""
    shown = {"kind": "seeds" if seeds else "map", "size": f"{width} × {height}{seeds}"}
    return {"name": name, "picture": picture, **shown, **explanation._asdict()}


def _colour(label: int) -> str:
    red, green, blue = voc_palette()[3 * label : 3 * label + 3]
    return f"#{red:02x}{green:02x}{blue:02x}"


PAIRS = 24
"""Maximum number of pairs in `before_after`."""


def before_after(
    out: Path, rows: Sequence[Mapping[str, Any]], original: Callable[[str], tuple[np.ndarray, np.ndarray]]
) -> bytes:
    """A JPEG with the first sample of each kind of recipe in the rows: the original on the left, the result on the
    right. out: the folder of the rows' dataset. original: name → image (H, W, 3) uint8 and label map (H, W) uint8 of
    the dataset that was augmented."""
    tiles, labels = [], []
    for row in first_of_each(rows):
        before = original(row["recipe"]["source"])
        with open_picture(out / row["file_name"]) as image, open_picture(out / row["mask"]) as mask:
            after = np.asarray(in_rgb(image)), np.asarray(mask)
        tiles.append(contact_sheet([draw_mask(*pair, 150, alpha=0.4) for pair in (before, after)], 2, gap=2))
        labels.append(operations_of(row))
    return encode_picture(contact_sheet(tiles, 3, labels), "JPEG", quality=85, subsampling=0)


def first_of_each(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first row of each kind of recipe, at most PAIRS."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        first.setdefault(operations_of(row), row)
    first.pop("", None)
    return list(first.values())[:PAIRS]


def operations_of(row: Mapping[str, Any]) -> str:
    """The operations of a row's recipe, such as `flip+noise`; "" for an original."""
    return "+".join(step["operation"] for step in row.get("recipe", {}).get("steps", ()))


def draw_mask(image: np.ndarray, label_map: np.ndarray, side: int, alpha: float = 0.5) -> np.ndarray:
    """`overlay` at a longer side of at most `side` pixels."""
    labels = shrink(label_map, side, Image.Resampling.NEAREST)
    return overlay(shrink(image, side, Image.Resampling.LANCZOS), labels, voc_palette(), alpha)
