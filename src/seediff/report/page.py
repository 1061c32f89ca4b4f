"""`preview.html`: one page that shows what is in a dataset. A browser needs nothing else,
because pictures are embedded. The same dataset always gives the same bytes: there are no dates and no paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.class_names import SEGMENT
from ..drawing.colours import css_colour, shown_ids
from ..drawing.overlays import draw_mask, shrink
from ..drawing.shown import data_uri, jpeg_uri
from ..files.image_files import in_rgb, open_image, read_pixels
from ..files.messages import sentence
from ..files.names import CARD, INSTANCES, PREVIEW
from ..files.outputs import write_atomic
from ..files.reading import file_of, inside, read_bytes
from ..rows.doubt import doubt
from ..rows.row import Row
from ..rows.values import explain_flag
from .card import dataset_card, plain_facts, render
from .set_summary import SetFacts, Summary, doubts, summarize

AUGMENTATIONS = "augmentations.jpg"
"""A picture in the folder of a dataset from `augment`. It shows a sample before and after each kind of change."""
MOST_IMAGES = 60
THUMBNAIL_PIXELS = 256
"""The longer side of the page's pictures in pixels."""


@dataclass(frozen=True)
class ClassTag:
    """A class's name, and its colour in masks as CSS, such as #ff870f."""

    name: str
    colour: str


@dataclass(frozen=True)
class SampleTile:
    """What the page shows of a sample."""

    name: str
    image: str
    """The picture as a data URI."""
    mask: str
    """The picture with its mask, as a data URI."""
    shares: str
    """How much each class covers, such as "dog 12% of the image"."""
    prompt: str
    about: str
    classes: Sequence[ClassTag]
    flags: Sequence[str]


def write_reports(folder: Path, facts: SetFacts, rows: Sequence[Row], classes: Sequence[str]) -> None:
    """Write the card and the page of a native dataset. rows: of metadata.jsonl. classes: label i + 1 is
    classes[i]. Raises UserError as `summarize` and `write_page` do."""
    summary = summarize(rows, classes, facts.rejected)
    write_atomic(folder / CARD, dataset_card(facts, rows, summary).encode("utf-8"))
    write_page(folder, facts, rows, summary)


def write_page(folder: Path, facts: SetFacts, rows: Sequence[Row], summary: Summary) -> Path:
    """Write preview.html into the folder of a native dataset, from its files, and return its path.

    rows: of metadata.jsonl. summary: theirs. Raises UserError for a picture that is missing, unreadable or outside the
    folder.
    """
    tags = [ClassTag(name, css_colour(label)) for label, name in enumerate(summary.class_names, 1)]
    sheet = folder / AUGMENTATIONS
    page = render(
        "page.html.j2",
        names=summary.class_names,
        summary=summary,
        facts=plain_facts({"images": summary.images, **facts.entries}),
        prompts=facts.prompts,
        doubts=[*map(sentence, doubts(rows))],
        classes=list(zip(tags, [count.cells() for count in summary.classes], strict=True)),
        reading=facts.reading,
        flags=[(kind, explain_flag(kind)) for kind in summary.kinds],
        tiles=list(_tiles(folder, rows, tags)),
        augmentations=data_uri(read_bytes(sheet)) if sheet.is_file() else "",
        ignore_colour=css_colour(255),
    )
    path = folder / PREVIEW
    write_atomic(path, page.encode("utf-8"))
    return path


def _tiles(folder: Path, rows: Sequence[Row], tags: Sequence[ClassTag]) -> Iterator[SampleTile]:
    """Tiles of at most MOST_IMAGES samples, evenly spaced in the order of doubt, the most doubtful first. tags: of the
    classes, in order."""
    count = min(len(rows), MOST_IMAGES)
    order = np.argsort(-doubt(rows), kind="stable").tolist()
    for number in range(count):
        position = order[number * len(rows) // count]
        yield _tile(folder, rows[position], position, tags)


def _tile(folder: Path, row: Row, position: int, tags: Sequence[ClassTag]) -> SampleTile:
    """The tile of a row. position: the row's. tags: as for `_tiles`."""
    labels = {tag.name: label for label, tag in enumerate(tags, 1)}
    image, label_map = _read_pair(folder, row, position)
    classes = dict.fromkeys(row.class_names)
    shares = [f"{one} {(label_map == labels[one]).mean():.0%} of the image" for one in classes]
    numbers = None
    # All segments have one class, so each is shown in its own colour.
    if SEGMENT in labels and row.instances is not None:
        numbers, *_ = read_pixels(inside(folder, f"{INSTANCES}/{row.sample}.png"))
        label_map = shown_ids(label_map, numbers, labels[SEGMENT], alone=len(labels) == 1)
    about = [
        row.sample,
        "" if row.seed is None else f"seed {row.seed}",
        row.operations,
        "corrected by hand" if row.review_or_empty.corrected else "",
    ]
    return SampleTile(
        name=row.sample,
        image=jpeg_uri(shrink(image, THUMBNAIL_PIXELS, Image.Resampling.LANCZOS)),
        mask=jpeg_uri(draw_mask(image, label_map, THUMBNAIL_PIXELS, numbers, dim=0.5)),
        shares=", ".join(shares) or "no class",
        prompt="" if row.source == row.sample else str(row.source or row.prompt or ""),
        about=" · ".join(filter(None, about)),
        classes=[tags[labels[one] - 1] for one in classes],
        flags=row.flag_list,
    )


def _read_pair(folder: Path, row: Row, position: int) -> tuple[np.ndarray, np.ndarray]:
    """(image, label map) of a row: (H, W, 3) and (H, W), both uint8."""
    where = f"row {position + 1}"
    image_path, mask_path = (
        file_of(folder, path, where, key)
        for key, path in (("file_name", row.file_name), ("mask_file_name", row.mask_file_name))
    )
    with open_image(image_path) as opened:
        image = np.asarray(in_rgb(opened, image_path))
    label_map, *_ = read_pixels(mask_path)
    return image, label_map
