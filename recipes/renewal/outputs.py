"""The outputs of the docs (`recipes/outputs.toml`), and whether each is up to date with its ingredients."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from recipes.mini.sets import scenes_file
from seediff.files.documents import read_toml
from seediff.files.outputs import write_atomic
from seediff.models.fingerprint import content_fingerprint, model_fingerprint
from seediff.models.known import EMBEDDED

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "recipes" / "outputs.toml"
RECORD = ROOT / "docs" / "ingredients.json"
DRAWING = ("steps", "guidance_scale", "scheduler", "capture_steps")
"""The keys of a model's preset that decide what it draws: the ingredient "MODEL drawing"."""
DEFAULTS = ("method", "presence", "name_threshold")
"""The keys that decide the masks that commands make without options: "MODEL preset", with the constants of that
method.
"""


@dataclass(frozen=True)
class Tables:
    """Tables to paste into a page from a Markdown file that a command writes: the first table below each heading that
    file and page share. With `heading` and `under`, only the first table below the file's `heading`, which goes below
    the page's heading `under`."""

    file: str
    page: str
    heading: str = ""
    under: str = ""


@dataclass(frozen=True)
class Output:
    """An entry of outputs.toml; the comment at its top explains each field."""

    name: str
    kind: str
    minutes: float
    commands: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    of: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    tables: tuple[Tables, ...] = ()
    needs: tuple[str, ...] = ()


def read_outputs() -> list[Output]:
    """All outputs, in the order in which they are made: ingredients of others come first."""
    outputs = []
    for title, entry in read_toml(TABLE).items():
        of_each = entry.pop("each", None)
        for name, minutes in (of_each or {"": entry.get("minutes")}).items():
            fields = json.loads(json.dumps(entry).replace("{name}", name))
            fields["tables"] = [Tables(**table) for table in fields.get("tables", ())]
            lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
            outputs.append(Output(title.replace("{name}", name), **{**fields, **lists, "minutes": minutes}))
    return outputs


def ingredients(output: Output) -> dict[str, str]:
    """Ingredient of an output → its current fingerprint."""
    return {"commands": digest(output.commands), **{name: _fingerprint(name) for name in output.of}}


def changed(output: Output, record: Mapping[str, Any]) -> list[str]:
    """The ingredients that have changed since the output was made; for a trained table, its rows without current
    figures.
    """
    if output.kind == "trained table":
        from recipes.renewal.trained import rows_without_figures

        return rows_without_figures(output.name.rpartition("/")[2])
    made_of = record.get(output.name, {}).get("of", {})
    return [name for name, value in ingredients(output).items() if made_of.get(name) != value]


def out_of_date(outputs: list[Output]) -> dict[str, list[str]]:
    """Name of each out-of-date output → its changed ingredients, or else those that other out-of-date outputs will
    remake.
    """
    record = read_record()
    stale: dict[str, list[str]] = {}
    renewed: set[str] = set()
    for output in outputs:
        if reasons := changed(output, record) or sorted(renewed & set(output.of) - set(output.files)):
            stale[output.name] = reasons
            renewed |= {*output.files, *output.makes}
    return stale


def read_record() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}


def write_record(record: Mapping[str, Any]) -> None:
    """Write the record in the order of outputs.toml, without outputs that are not in it."""
    entries = {output.name: record[output.name] for output in read_outputs() if output.name in record}
    write_atomic(RECORD, (json.dumps(entries, indent=1, ensure_ascii=False) + "\n").encode())


def digest(value: Any) -> str:
    """16 hexadecimal digits for a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _fingerprint(name: str) -> str:
    model, _, part = name.partition(" ")
    if part:
        return digest(_of_preset(model, part))
    if name in EMBEDDED or name == "scenes":
        return _of_package(name)
    if not (ROOT / name).is_file():
        return ""
    if name.endswith(".toml"):
        return digest(read_toml(ROOT / name))
    stored = json.loads((ROOT / name).read_text(encoding="utf-8"))
    if name.endswith(".ipynb"):
        return digest([cell["source"] for cell in stored["cells"] if cell["cell_type"] == "code"])
    return digest({key: value for key, value in stored.items() if key not in ("seconds", "milliseconds")})


def _of_preset(model: str, part: str) -> dict[str, Any]:
    """The constants of a model's preset that make up "MODEL drawing", "MODEL preset" or "MODEL preset METHOD"."""
    preset = json.loads((EMBEDDED[model] / "seediff.json").read_text(encoding="utf-8"))["preset"]
    if part == "drawing":
        return {key: preset.get(key) for key in DRAWING}
    named = part.partition(" ")[2]
    method = {**preset["methods"], **preset.get("segments", {})}[named or preset["method"]]
    return method if named else {**method, **{key: preset.get(key) for key in DEFAULTS}}


@cache
def _of_package(name: str) -> str:
    """The fingerprint of scenes or weights, which no output changes."""
    if name == "scenes":
        return digest([content_fingerprint(scenes_file(name)) for name in ("truth", "shift", "tune")])
    return model_fingerprint(name)
