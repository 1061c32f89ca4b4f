"""The dataset card: a README.md that says what is in a dataset's folder, how it was made and how to load it. The text
is fixed, but for facts and numbers: templates/card.md.j2, and one of three files about what made the set. `render`
fills in any template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..files.messages import first_of, plural, sentence
from ..models.short_names import EMBEDDED, EMBEDDED_LICENCE, named_model
from ..rows.row import Row
from .set_summary import SetFacts, Summary, for_drawings, provenance

TAGS = {
    "drawn": ("synthetic", "semantic-segmentation", "diffusion", "seediff"),
    "photographs": ("semantic-segmentation", "seediff"),
    "any": ("semantic-segmentation", "seediff"),
}
"""Where a set comes from → its tags on the hub. templates/ has a text for each. "drawn": a model drew all images and
made their masks. "photographs": a model made masks of photographs. "any": everything else."""
DTYPES = {"bool": {bool}, "int64": {int}, "float64": {int, float}, "string": {str}}
"""Name of a type in Arrow → the Python types of its values in JSON."""
SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")


def dataset_card(facts: SetFacts, rows: Sequence[Row], summary: Summary, exported: bool = False) -> str:
    """The text of README.md: YAML front matter for the Hugging Face hub, then Markdown.

    rows: the rows of metadata.jsonl, which decide the text. summary: theirs. exported: the files are of another format
    than the native one, so the card does not describe them."""
    origin = _origin(rows)
    models = {row.model for row in rows if row.model}
    objects = [len(row.instances) for row in rows if row.instances is not None]
    entries = facts.entries
    if "model" not in entries:  # else a run has made all of them
        entries = {**entries, **provenance(rows)}
    lines = plain_facts(entries)
    if facts.prompts:
        lines.append(("prompts", "; ".join(facts.prompts)))
    if objects:
        lines.append(("objects", f"{sum(objects)} in {plural(len(objects), 'image')}"))
    return render(
        f"{origin}.md.j2",
        title=yaml_text(f"Masks: {first_of(summary.class_names, 5) or 'empty'}"),
        tags=[*TAGS[origin], "pseudo-labels"] if summary.unchecked else TAGS[origin],
        size=size_category(summary.images),
        exported=exported,
        hub_config=Markup(json.dumps(_hub_config(rows), ensure_ascii=False)),  # safe: JSON is YAML
        summary=summary,
        facts=_pairs(lines),
        classes=[{key: markdown_text(text) for key, text in each.cells().items()} for each in summary.classes],
        models=_pairs((name, model_note(name)) for name in sorted(models)),
        licence_link=_licence_link([*models]) if origin == "drawn" else None,
        for_drawings=[markdown_text(sentence(line)) for line in for_drawings(rows)],
    )


def _origin(rows: Sequence[Row]) -> str:
    """Where all rows come from: one of TAGS, which is also the name of the text that fits."""
    if not rows or not all(row.model and row.method for row in rows):
        return "any"
    of_photos = {row.of_photo for row in rows}
    if len(of_photos) > 1:
        return "any"
    return "photographs" if of_photos == {True} else "drawn"


def _hub_config(rows: Sequence[Row]) -> dict[str, Any]:
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


def renewed_card(card: str, rows: Sequence[Row], parts: bool) -> str:
    """A card, of which people may have changed the text, after keys of rows changed: with the types of all keys. parts:
    also with the number of samples in each part, as the first fact."""
    config = json.dumps(_hub_config(rows), ensure_ascii=False)
    card = re.sub(r"^configs: \[.*\]$", lambda _: f"configs: [{config}]", card, count=1, flags=re.MULTILINE)
    if not parts:
        return card
    card = re.sub(r"^\| parts \|.*\n", "", card, count=1, flags=re.MULTILINE)
    return card.replace("|---|---|\n", f"|---|---|\n| parts | {provenance(rows)['parts']} |\n", 1)


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
    known = named_model(model)
    elsewhere = "see the model's own card for what it says about generated images"
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


# Templates, also for pages.


def plain_facts(entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value as text) of facts."""
    return [(name.replace("_", " "), show_value(value)) for name, value in entries.items()]


def show_value(value: Any) -> str:
    """A value as a text: lists with commas, booleans as `yes` and `no`, None as `not set`."""
    if isinstance(value, (list, tuple)):
        return ", ".join(show_value(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not set"
    return str(value)


_ENVIRONMENT = Environment(
    loader=PackageLoader("seediff.report", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(template: str, /, **values: Any) -> str:
    """The text of a template, with `values` filled in. Values are escaped, so that a prompt or a class name cannot
    become markup. template: a file in templates/."""
    return _ENVIRONMENT.get_template(template).render(plural=plural, **values)
