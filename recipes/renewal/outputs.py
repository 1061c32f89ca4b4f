"""The outputs of the docs (`recipes/outputs.toml`), and whether each is up to date with its ingredients."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from recipes.renewal.code import code_fingerprint, folder_fingerprint
from seediff.files.documents import read_toml
from seediff.files.outputs import write_atomic
from seediff.mini.scenes import scenes_file
from seediff.models.fingerprint import content_fingerprint, model_fingerprint
from seediff.models.known import EMBEDDED

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "recipes" / "outputs.toml"
RECORD = ROOT / "docs" / "ingredients.json"
CODE = ("attention", "masks", "segments", "objects", "metrics")
"""Packages whose code determines figures."""
ACCEPTABLE = (*CODE, "commands")
"""Ingredients that may change without changing a figure."""
DRAWING = ("steps", "guidance_scale", "scheduler", "capture_steps")
"""The keys of a model's preset that form the ingredient "MODEL drawing". Outputs that only capture attention from given scenes or
photographs do not depend on them. The other keys, without the note, form "MODEL preset"."""


@dataclass(frozen=True)
class Tables:
    """Tables to paste into a page from a Markdown file that a command writes: the first table below each heading that file and page share.
    With `heading` and `under`, only the first table below the file's `heading`, which goes below the page's heading `under`."""

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
    pages: tuple[str, ...] = ()
    tables: tuple[Tables, ...] = ()
    needs: tuple[str, ...] = ()

    def shown_on(self) -> list[Path]:
        """The pages that show the output or its figures: those that the entry names, and those that link one of its files."""
        named = {ROOT / page for page in (*self.pages, *(table.page for table in self.tables))}
        return sorted(named | {page for page in pages() for file in self.files if file in _links(page)})


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


def notes(outputs: list[Output], stale: Mapping[str, Any]) -> dict[Path, list[str]]:
    """Page → the names of its out-of-date outputs."""
    found: dict[Path, list[str]] = {page: [] for page in pages()}
    for output in outputs:
        for page in output.shown_on() if output.name in stale else ():
            found[page].append(output.name)
    return found


def pages() -> list[Path]:
    """The pages whose figures are kept current. Decisions are not among them: they keep the figures that they were made on."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    return [ROOT / "README.md", *(page for page in found if page.parent.name != "decisions")]


@cache
def _links(page: Path) -> set[str]:
    """Files that a page links, relative to the repository's root."""
    found = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    return {os.path.relpath(page.parent / link, ROOT) for link in found if ":" not in link}


def ingredients(output: Output) -> dict[str, str]:
    """Ingredient of an output → its current fingerprint."""
    return {"commands": digest(output.commands), **{name: _fingerprint(name) for name in output.of}}


def changed(output: Output, record: Mapping[str, Any]) -> list[str]:
    """The ingredients that have changed since the output was made; for a trained table, its rows without current figures."""
    if output.kind == "trained table":
        from recipes.renewal.trained import rows_without_figures

        return rows_without_figures(output.name.rpartition("/")[2])
    made_of = record.get(output.name, {}).get("of", {})
    return [name for name, value in ingredients(output).items() if made_of.get(name) != value]


def out_of_date(outputs: list[Output]) -> dict[str, list[str]]:
    """Name of each out-of-date output → its changed ingredients, or else those that other out-of-date outputs will remake."""
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
    if name in CODE or name in EMBEDDED or name == "scenes":
        return _of_package(name)
    if name.endswith((" preset", " drawing")):
        model, part = name.rsplit(" ", 1)
        preset = json.loads((EMBEDDED[model] / "seediff.json").read_text(encoding="utf-8"))["preset"]
        return digest({key: value for key, value in preset.items() if key != "note" and (key in DRAWING) == (part == "drawing")})
    if not (ROOT / name).is_file():
        return ""
    if name.endswith(".json"):
        figures = json.loads((ROOT / name).read_text(encoding="utf-8"))
        return digest({key: value for key, value in figures.items() if key not in ("seconds", "milliseconds")})
    if name.endswith(".toml"):
        return digest(read_toml(ROOT / name))
    cells = json.loads((ROOT / name).read_text(encoding="utf-8"))["cells"]  # the file is a notebook
    return code_fingerprint("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@cache
def _of_package(name: str) -> str:
    """The fingerprint of scenes, weights or code, which no output changes."""
    if name == "scenes":
        return digest([content_fingerprint(scenes_file(name)) for name in ("truth", "shift", "tune")])
    return model_fingerprint(name) if name in EMBEDDED else folder_fingerprint(ROOT / "src" / "seediff" / name)
