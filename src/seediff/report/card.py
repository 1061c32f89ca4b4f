"""The dataset card: a README.md, for hubs and for people, that says what is in the folder, how it was made and how to
load it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .tables import ClassCount, Row, count_classes, flat_config, of_photograph, plain_facts, row_classes, show_value
from .templates import render

SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
"""(limit, name) of the hub's size categories: a dataset belongs to the first whose limit is above its number of
images.
"""

MODEL_NOTES = (  # (pattern to search in the model's name, note about the model's licence)
    (
        r"^mini(-dit)?$",
        "the embedded model was trained on scenes composited from Fluent Emoji art (Microsoft, MIT licence)",
    ),
    (
        r"^sd1|stable-diffusion-v1",
        "Stable Diffusion 1.x is under the CreativeML OpenRAIL-M licence, whose use restrictions cover its output",
    ),
    (
        r"^sd2|stable-diffusion-2",
        "Stable Diffusion 2.x is under the CreativeML Open RAIL++-M licence, whose use restrictions cover its output",
    ),
)
UNKNOWN_MODEL = "see the model's own card for its licence and what it says about generated images"


def dataset_card(
    *, summary: Mapping[str, Any], rows: Sequence[Row], class_names: Sequence[str], drawn: bool = True
) -> str:
    """The text of README.md: YAML front matter as the Hugging Face hub reads it, then Markdown. The same input gives
    the same text.

    summary: as for `write_preview` (`model`, `method`, `prompts`, `config`, `rejected`, `version`; all may be missing).
    rows: those of metadata.jsonl. class_names: label i + 1 is class_names[i]. drawn: whether the model drew the images;
    False: `mask` made only their masks. Raises UserError if a row names a class that the dataset does not have.
    """
    classes = count_classes(rows, class_names, summary.get("rejected"))
    model = str(summary.get("model", "unknown"))
    prompts = list(summary.get("prompts") or dict.fromkeys(str(row["prompt"]) for row in rows[:20] if "prompt" in row))
    facts = [*plain_facts(summary), *_objects(rows)]
    return render(
        "card.md.j2",
        title=_title("Generated masks" if drawn else "Masks", class_names),
        drawn=drawn,
        size=size_category(len(rows)),
        images=len(rows),
        flagged=sum(bool(row.get("flags")) for row in rows),
        several=any(len(row_classes(row)) > 1 for row in rows),
        facts=_pairs(facts),
        prompts=[markdown_text(p) for p in prompts],
        config=_pairs(flat_config(summary.get("config") or {})),
        classes=_class_rows(classes),
        model=markdown_text(model),
        model_note=model_note(model),
    )


def data_card(*, about: Mapping[str, Any], rows: Sequence[Row], class_names: Sequence[str]) -> str:
    """The text of README.md for a dataset of any origin; `dataset_card` is for what `generate` and `mask` make. It says
    nothing about the images' origin except the rows' `model`, if it drew them, and `about`. about: name → text, number
    or list, shown as it is; nested values are left out."""
    classes = count_classes(rows, class_names)
    models = [str(row["model"]) for row in rows if row.get("model") and not of_photograph(row)]
    facts = [(key.replace("_", " "), show_value(v)) for key, v in about.items() if not isinstance(v, Mapping)]
    facts += _objects(rows)
    return render(
        "data_card.md.j2",
        title=_title("Masks", class_names),
        size=size_category(len(rows)),
        images=len(rows),
        facts=_pairs(facts),
        classes=_class_rows(classes),
        models=_pairs((name, model_note(name)) for name in sorted(set(models))),
        unmade=len(rows) - len(models),
    )


def _objects(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The number of objects, and of the images that have them; empty if no row lists objects."""
    counts = [len(row["instances"]) for row in rows if "instances" in row]
    return [("objects", f"{sum(counts)} in {len(counts)} images")] if counts else []


def _title(what: str, class_names: Sequence[str]) -> Markup:
    return yaml_text(f"{what}: " + (", ".join(class_names[:5]) + (", …" if len(class_names) > 5 else "") or "empty"))


def _class_rows(classes: Iterable[ClassCount]) -> list[dict[str, Any]]:
    """The rows of the table of classes in both templates."""
    return [
        {"label": c.label, "made": c.made, **{key: markdown_text(text) for key, text in c.cells().items()}}
        for c in classes
    ]


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[tuple[Markup, Markup]]:
    return [(markdown_text(name), markdown_text(value)) for name, value in pairs]


def model_note(model: str) -> str:
    """The note about the licence of a model, by its name; for an unknown model, where to look."""
    return next((note for pattern, note in MODEL_NOTES if re.search(pattern, model)), UNKNOWN_MODEL)


def size_category(count: int) -> str:
    """The hub's size category of a dataset, such as `n<1K` for 120 images."""
    return next((name for limit, name in SIZE_CATEGORIES if count < limit), "n>10M")


def yaml_text(text: str) -> Markup:
    """A text as a double-quoted YAML scalar (JSON strings are valid YAML). Line breaks and control characters become
    spaces.
    """
    return Markup(json.dumps(_one_line(text), ensure_ascii=False))  # safe: front matter is YAML, not markup


def markdown_text(text: str) -> Markup:
    """A text escaped so that Markdown and HTML in it show it literally, on one line."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~$>-])", r"\\\1", _one_line(text))
    # A backslash keeps ">" literal in Markdown; "&" and "<" need HTML's own escapes.
    return Markup(escaped.replace("&", "&amp;").replace("<", "&lt;"))


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
