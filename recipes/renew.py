"""Remake every figure, table, picture, notebook and JSON file of the docs whose ingredients have changed.

    python recipes/renew.py --dry-run            # print what is out of date and why, and what it would cost
    python recipes/renew.py                      # remake it; a run that was stopped continues where it was
    python recipes/renew.py look truth --anew    # these outputs, even if they are current

recipes/outputs.toml lists the outputs. docs/ingredients.json records what each was made from: weights, constants of the
methods that it shows, methods that are compared, scenes, commands, and other outputs. Code is not among them:
`python benchmarks/same_bytes.py OLD NEW` guards what it computes. Tables of trained segmenters have their own keys
instead. Sentences about figures, and tables on pages, are edited by hand.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cyclopts import App
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # when run as a script, only this folder is on the path

from recipes.fingerprints import content_fingerprint, model_fingerprint
from recipes.mini.sets import scenes_file
from recipes.studies.settings import contest
from recipes.tables.definition import packaged, read_table
from recipes.tables.sources import Places
from recipes.tables.trained import has_figures, open_kept
from seediff.devices import BF16_SWITCH
from seediff.files.outputs import write_atomic
from seediff.files.reading import read_toml
from seediff.models.short_names import EMBEDDED

app = App(help=__doc__, help_format="plaintext")
ROOT = Path(__file__).parents[1]
TABLE = ROOT / "recipes" / "outputs.toml"
RECORD = ROOT / "docs" / "ingredients.json"
STUDIES = ROOT / "docs" / "studies"
DRAWING = ("steps", "guidance_scale", "scheduler", "capture_steps")
"""The keys of a model's preset that decide what it draws: the ingredient "MODEL drawing"."""
DEFAULTS = ("method", "presence", "name_threshold")
"""The keys that decide the masks that commands make without options: "MODEL preset", with the constants of that
method.
"""
WIDEST = 1600
"""Pixels of a page's picture, from left to right, at most."""


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
    needs: tuple[str, ...] = ()


def read_outputs() -> list[Output]:
    """All outputs, in the order in which they are made: ingredients of others come first."""
    outputs = []
    for title, entry in read_toml(TABLE).items():
        for name, minutes in (entry.pop("each", None) or {"": entry.get("minutes")}).items():
            fields = json.loads(json.dumps(entry).replace("{name}", name))
            lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
            outputs.append(Output(title.replace("{name}", name), **{**fields, **lists, "minutes": minutes}))
    return outputs


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


def changed(output: Output, record: Mapping[str, Any]) -> list[str]:
    """The ingredients that have changed since the output was made; for a trained table, its rows without figures of the
    current weights, data and settings.
    """
    if output.kind == "trained table":
        name = output.name.rpartition("/")[2]
        table, places = read_table(packaged(name, "embedded")), Places(Path(tempfile.gettempdir()), {})
        seeds = json.loads((STUDIES / name / "results.json").read_text(encoding="utf-8"))["seeds"]
        with patch.dict(os.environ, {BF16_SWITCH: "1"}):  # the number format, a CPU's with bfloat16, is in each key
            return [row.name for row in table.rows if not has_figures(row, table, places, seeds, _figures())]
    made_of = record.get(output.name, {}).get("of", {})
    return [name for name, value in ingredients(output).items() if made_of.get(name) != value]


@cache
def _figures() -> Any:
    return open_kept(Path(tempfile.gettempdir()) / "no such folder", [STUDIES])


def ingredients(output: Output) -> dict[str, str]:
    """Ingredient of an output → its current fingerprint."""
    return {"commands": digest(output.commands), **{name: _fingerprint(name) for name in output.of}}


def digest(value: Any) -> str:
    """16 hexadecimal digits for a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _fingerprint(name: str) -> str:
    model, _, part = name.partition(" ")
    if part:
        return digest(_of_preset(model, part))
    if name == "contest":
        return digest(contest())
    if name in EMBEDDED or name == "scenes":
        return _of_package(name)
    if (ROOT / name).is_dir():
        return digest([(file.name, file.read_text(encoding="utf-8")) for file in sorted((ROOT / name).iterdir())])
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


def read_record() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}


def make(output: Output, runs: Path, folders: Mapping[str, Path]) -> str:
    """Run the commands of an output in a folder of `runs`, publish its files and record its ingredients. Returns an
    error message, "" on success.
    """
    made_of = ingredients(output)
    work = runs / output.name / digest(made_of)  # the same for the same ingredients, so that a stopped run continues
    work.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for text in output.commands:
        command = words(text, work, runs, folders)
        print(f"{output.name}: {shlex.join(command)}", flush=True)
        with (work / "log.txt").open("a", encoding="utf-8") as log:
            code = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log).returncode
        if code:
            return f"exit code {code}, see {work / 'log.txt'}"
    for file, source in output.files.items():
        data = (work / source).read_bytes()
        (ROOT / file).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(ROOT / file, page_image(data) if file.endswith(".jpg") else data)
    record = {**read_record(), output.name: {"made": datetime.now(timezone.utc).date().isoformat(), "of": made_of}}
    ordered = {known.name: record[known.name] for known in read_outputs() if known.name in record}
    write_atomic(RECORD, (json.dumps(ordered, indent=1, ensure_ascii=False) + "\n").encode())
    return ""


def words(text: str, work: Path, runs: Path, folders: Mapping[str, Path]) -> list[str]:
    """A command of outputs.toml with its folders filled in."""
    places = {"work": work, "runs": runs, **folders}
    return [
        re.sub(r"\{([\w-]+)\}", lambda found: str(places.get(found[1], ROOT / found[1])), word)
        for word in shlex.split(text)
    ]


def page_image(data: bytes) -> bytes:
    """A picture in any format → a progressive JPEG at most WIDEST wide. Such a JPEG stays as it is."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as opened:
        if opened.format == "JPEG" and opened.width <= WIDEST:
            return data
        image = opened.convert("RGB")
    image.thumbnail((WIDEST, image.height))
    image.save(buffer, "JPEG", quality=80, optimize=True, progressive=True)
    return buffer.getvalue()


@app.default
def main(*names: str, dry_run: bool = False, anew: bool = False, data: tuple[str, ...] = ()) -> int:
    """Renew outputs.

    Parameters
    ----------
    names
        Outputs; all by default.
    dry_run
        Print the plan and do nothing.
    anew
        Also what is current.
    data
        NAME=FOLDER of a folder that outputs need; repeat the option for several.
    """
    outputs = read_outputs()
    if unknown := set(names) - {output.name for output in outputs}:
        sys.exit(f"there is no output {min(unknown)}; there are {', '.join(output.name for output in outputs)}")
    folders = {name: Path(folder).absolute() for name, _, folder in (text.partition("=") for text in data)}
    stale = out_of_date(outputs)
    minutes = 0.0
    failed = False
    for output in outputs:
        if names and output.name not in names:
            continue
        wanted = anew or output.name in stale
        why = f"out of date: {', '.join(stale[output.name])}" if output.name in stale else "current"
        missing = [name for name in output.needs if not (shutil.which(name) or folders.get(name, ROOT / name).is_dir())]
        obstacle = f"; needs {', '.join(missing)}" if missing else ""
        if dry_run or (wanted and obstacle):
            print(f"{output.minutes:4} min  {output.name:24}{why}{obstacle}")
        if not wanted or obstacle:
            continue
        minutes += output.minutes
        if not dry_run and (anew or changed(output, read_record())):  # remade ingredients may be unchanged
            problem = make(output, ROOT / "runs" / "renew", folders)
            failed |= bool(problem)
            print(f"{output.name}: {problem or 'done'}", flush=True)
    print(f"{len(stale)} of {len(outputs)} outputs out of date; {minutes:.0f} minutes of one core")
    return int(failed)


if __name__ == "__main__":
    app()
