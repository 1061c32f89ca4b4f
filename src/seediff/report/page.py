"""`preview.html`: one page that shows what is in a dataset. A browser needs nothing else,
because pictures are embedded. The same dataset always gives the same bytes: there are no dates and no paths.

The dataset card is a README.md that says what is in a dataset's folder, how it was made and how to load it. The text
is fixed, but for facts and numbers: templates/card.md.j2, and one of three files about what made the set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from ..config.class_names import SEGMENT
from ..drawing.overlays import css_colour, data_uri, draw_mask, jpeg_uri, shown_ids, shrink
from ..files.image_files import in_rgb, open_image, read_pixels
from ..files.messages import plural
from ..files.outputs import write_atomic
from ..files.reading import inside, read_bytes
from ..models.locate import EMBEDDED, EMBEDDED_LICENCE, FOR_DRAWINGS, named_model
from ..rows.row import Row
from ..rows.values import explain_flag
from .tables import Summary, for_drawings, plain_facts, render, summarize

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
class Tile:
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


def write_reports(
    folder: Path,
    about: Mapping[str, Any],
    rows: Sequence[Row],
    classes: Sequence[str],
) -> None:
    """Write the card and the page of a native dataset. about, rows: as for `write_page`. classes: label i + 1 is
    classes[i]. Raises UserError as `summarize` and `write_page` do."""
    summary = summarize(rows, classes, about.get("rejected"))
    write_atomic(folder / "README.md", dataset_card(about, rows, summary).encode("utf-8"))
    write_page(folder, about, rows, summary)


def write_page(folder: Path, about: Mapping[str, Any], rows: Sequence[Row], summary: Summary) -> Path:
    """Write preview.html into the folder of a native dataset, from its files, and return its path.

    about: name → fact, for the head of the page, such as `model` and `method`. Three names have places of their own:
    `prompts` (a list of templates), `rejected` (class → reason → number of rejected draws), and `reading` (its `lines`
    say how an imported set was understood). rows: of metadata.jsonl. summary: theirs. Raises UserError for a picture
    that is missing, unreadable or outside the folder.
    """
    tags = [ClassTag(name, css_colour(label)) for label, name in enumerate(summary.class_names, 1)]
    sheet = folder / AUGMENTATIONS
    page = render(
        "page.html.j2",
        names=summary.class_names,
        summary=summary,
        facts=plain_facts({"images": summary.images, **about}),
        prompts=list(about.get("prompts") or ()),
        classes=list(zip(tags, [count.cells() for count in summary.classes], strict=True)),
        reading=about.get("reading", {}).get("lines", ()),
        flags=[(kind, explain_flag(kind)) for kind in summary.kinds],
        tiles=list(_tiles(folder, rows, tags)),
        augmentations=data_uri("jpeg", read_bytes(sheet)) if sheet.is_file() else "",
        ignore_colour=css_colour(255),
    )
    path = folder / "preview.html"
    write_atomic(path, page.encode("utf-8"))
    return path


def _tiles(folder: Path, rows: Sequence[Row], tags: Sequence[ClassTag]) -> Iterator[Tile]:
    """Tiles of at most MOST_IMAGES samples, evenly spaced. tags: of the classes, in order."""
    labels = {tag.name: label for label, tag in enumerate(tags, 1)}
    count = min(len(rows), MOST_IMAGES)
    for number in range(count):
        position = number * len(rows) // count
        row = rows[position]
        image, label_map = _read_pair(folder, row, position)
        classes, name = dict.fromkeys(row.named), row.sample
        shares = [f"{one} {(label_map == labels[one]).mean():.0%} of the image" for one in classes]
        numbers = None
        # All segments have one class, so each is shown in its own colour.
        if SEGMENT in labels and row.instances is not None:
            numbers, *_ = read_pixels(inside(folder, f"instances/{name}.png"))
            label_map = shown_ids(label_map, numbers, labels[SEGMENT], alone=len(labels) == 1)
        about = [name]
        if row.seed is not None:
            about.append(f"seed {row.seed}")
        about.append(row.operations)
        if row.decided.corrected:
            about.append("corrected by hand")
        yield Tile(
            name=name,
            image=jpeg_uri(shrink(image, THUMBNAIL_PIXELS, Image.Resampling.LANCZOS)),
            mask=jpeg_uri(draw_mask(image, label_map, THUMBNAIL_PIXELS, numbers, dim=0.5)),
            shares=", ".join(shares) or "no class",
            prompt="" if row.source == name else str(row.source or row.prompt or ""),
            about=" · ".join(filter(None, about)),
            classes=[tags[labels[one] - 1] for one in classes],
            flags=row.raised,
        )


def _read_pair(folder: Path, row: Row, position: int) -> tuple[np.ndarray, np.ndarray]:
    """(image, label map) of a row: (H, W, 3) and (H, W), both uint8."""
    where = f"row {position + 1}"
    image_path, mask_path = (
        inside(folder, path, where, key)
        for key, path in (("file_name", row.file_name), ("mask_file_name", row.mask_file_name))
    )
    with open_image(image_path) as opened:
        image = np.asarray(in_rgb(opened, image_path))
    label_map, *_ = read_pixels(mask_path)
    return image, label_map


TAGS = {
    "drawn": ("synthetic", "semantic-segmentation", "diffusion", "seediff"),
    "photographs": ("semantic-segmentation", "seediff"),
    "any": ("semantic-segmentation", "seediff"),
}
"""Text of the card, a file of templates/ → its tags on the hub. "drawn": a model drew all images and made their masks.
"photographs": a model made masks of photographs. "any": everything else."""
DTYPES = {"bool": {bool}, "int64": {int}, "float64": {int, float}, "string": {str}}
"""Name of a type in Arrow → the Python types of its values in JSON."""
SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")


def dataset_card(about: Mapping[str, Any], rows: Sequence[Row], summary: Summary) -> str:
    """The text of README.md: YAML front matter for the Hugging Face hub, then Markdown.

    about: facts about the whole set, as in `write_page`. rows: the rows of metadata.jsonl, which decide the text.
    summary: theirs."""
    text = _text_for(rows)
    made = {row.model for row in rows if row.model and (text == "photographs" or not row.of_photo)}
    objects = [len(row.instances) for row in rows if row.instances is not None]
    facts = plain_facts(about)
    if about.get("prompts"):
        facts.append(("prompts", "; ".join(about["prompts"])))
    if objects:
        facts.append(("objects", f"{sum(objects)} in {plural(len(objects), 'image')}"))
    names = summary.class_names
    shown = names if len(names) <= 5 else [*names[:5], "…"]
    return render(
        f"{text}.md.j2",
        title=yaml_text(f"Masks: {', '.join(shown) or 'empty'}"),
        tags=[*TAGS[text], "pseudo-labels"] if summary.unchecked else TAGS[text],
        size=size_category(summary.images),
        files=Markup(json.dumps(_config(rows), ensure_ascii=False)),  # safe: front matter is YAML, and JSON is, too
        summary=summary,
        facts=_pairs(facts),
        classes=[{key: markdown_text(text) for key, text in each.cells().items()} for each in summary.classes],
        models=_pairs((name, model_note(name)) for name in sorted(made)),
        licence_link=_licence_link([*made]) if text == "drawn" else None,
        for_drawings=[markdown_text(f"Model {name} {FOR_DRAWINGS}") for name in for_drawings(rows)],
    )


def _text_for(rows: Sequence[Row]) -> str:
    """The text that fits to all rows: one of TAGS."""
    if not rows or not all(row.model and row.method for row in rows):
        return "any"
    of_photos = {row.of_photo for row in rows}
    if len(of_photos) > 1:
        return "any"
    return "photographs" if of_photos == {True} else "drawn"


def _config(rows: Sequence[Row]) -> dict[str, Any]:
    """The configuration with which Hugging Face's `datasets` loads the folder. Without it, `datasets` would take a
    photograph named `test_1.jpg` for a part of the set, and guess the types of keys from the first megabytes of
    rows."""
    config: dict[str, Any] = {"config_name": "default", "data_files": [{"split": "train", "path": "**"}]}
    if rows:
        described = [
            {key: value for key, value in row.to_json().items() if not key.endswith("file_name")} for row in rows
        ]
        pictures = [{"name": name, "dtype": "image"} for name in ("image", "mask")]
        config["features"] = [*pictures, *_feature(described)["struct"]]
    return config


def _feature(values: Iterable[Any]) -> dict[str, Any]:
    """The type of a key as `datasets` writes it: {"dtype": "string"}, {"list": "int64"}, or for tables {"struct":
    [{"name": "seed", "dtype": "int64"}, …]}. values: of the key, in all rows."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {dict}:
        names = dict.fromkeys(chain.from_iterable(present))
        return {"struct": [{"name": name, **_feature(value.get(name) for value in present)} for name in names]}
    if kinds and kinds <= {list, tuple}:
        inner = _feature(chain.from_iterable(present))
        return {"list": inner.get("dtype") or inner.get("struct") or inner}
    fitting = (name for name, of in DTYPES.items() if kinds and kinds <= of)
    return {"dtype": next(fitting, "null")}


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[tuple[Markup, Markup]]:
    return [(markdown_text(name), markdown_text(value)) for name, value in pairs]


def _licence_link(models: Sequence[str]) -> Markup | None:
    """The page with the licence of a model of the hub; None for several models, and others."""
    known = [named_model(name) for name in models]
    if len(known) != 1 or known[0] is None:
        return None
    return yaml_text(f"https://huggingface.co/{known[0].hub_id}")


def model_note(model: str) -> str:
    """A phrase about a model's licence, if it is known, and where to read more. model: its name."""
    if model in EMBEDDED:
        return f"{EMBEDDED_LICENCE}; it was trained on scenes composited from Fluent Emoji art (Microsoft, MIT)"
    known, elsewhere = named_model(model), "see the model's own card for what it says about generated images"
    return f"{known.licence}; {elsewhere}" if known else f"{elsewhere}, and for its licence"


def size_category(count: int) -> str:
    """The hub's size category of a dataset, such as `n<1K` for 120 images."""
    return SIZES[sum(count >= 1000 * 10**power for power in range(len(SIZES) - 1))]


def yaml_text(text: str) -> Markup:
    """A text in double quotes for YAML. A JSON string is valid YAML."""
    return Markup(json.dumps(_one_line(text), ensure_ascii=False))  # safe: front matter is YAML, not markup


def markdown_text(text: str) -> Markup:
    """A text on one line, in which Markdown and HTML are escaped."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~$>-])", r"\\\1", _one_line(text))
    # A backslash keeps ">" literal in Markdown; "&" and "<" need HTML's own escapes.
    return Markup(escaped.replace("&", "&amp;").replace("<", "&lt;"))


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
