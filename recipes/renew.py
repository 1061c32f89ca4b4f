"""Remake every figure, table, picture, notebook output and JSON file of the docs whose ingredients have changed.

    python recipes/renew.py --dry-run                  # print what is out of date and why, and what it would cost
    python recipes/renew.py                            # remake it; a run that was stopped continues where it was
    python recipes/renew.py --at-most 20               # only outputs that take at most so many minutes
    python recipes/renew.py look truth --anew          # these outputs, even if they are current
    python recipes/renew.py truth --scale 0.01         # a trial with a hundredth of the scenes, published to runs/renew/docs
    python recipes/renew.py --mark                     # note on each page what is out of date there
    python recipes/renew.py --accept "functions moved" # the code changed, but not what it computes: figures stay

recipes/outputs.toml lists the outputs. docs/ingredients.json records what each was made from: weights, presets, scenes, the code of the
methods without its prose (renewal/code.py), and other outputs. Tables of trained segmenters have their own keys instead. Sentences about
figures, and tables that no `tables` entry of outputs.toml names, are edited by hand. Before --accept, run
`python benchmarks/same_bytes.py OLD NEW`.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # when run as a script, only this folder is on the path

from recipes.renewal import outputs as known
from recipes.renewal.outputs import ACCEPTABLE, Output
from recipes.renewal.pages import with_note, with_tables
from seediff.files.outputs import write_atomic

FEWEST = 2
"""The smallest number of scenes or images in a trial, whatever its scale."""


@dataclass(frozen=True)
class Place:
    """Where outputs are made. work: the folder for unfinished outputs. folders: name → folder that commands read; by default, the folder of
    that name in the repository. scale: below 1, a trial, which publishes below `work` and records nothing. extra: options added to the
    first command of an output."""

    work: Path
    folders: Mapping[str, Path]
    scale: float = 1.0
    extra: str = ""

    @property
    def trial(self) -> bool:
        return self.scale < 1

    def obstacle(self, output: Output) -> str:
        """Why the output cannot be made here; "" if it can."""
        if not output.commands:
            return "no command makes it any more"
        if self.trial:
            return "changes the package: no trial" if output.makes else ""
        missing = [name for name in output.needs if not (shutil.which(name) or self._folder(name).is_dir())]
        return f"needs {', '.join(missing)}" if missing else ""

    def command(self, text: str, work: Path) -> list[str]:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.isdigit():
                return str(max(FEWEST, math.ceil(int(name) * self.scale)))
            return {"work": str(work), "runs": str(self.work), "scale": f"{self.scale:g}"}.get(name) or str(self._folder(name))

        return [re.sub(r"\{([\w-]+)\}", value, word) for word in shlex.split(text)]

    def target(self, file: str) -> Path:
        """The path at which a file of the docs is published."""
        return (self.work if self.trial else known.ROOT) / file

    def _folder(self, name: str) -> Path:
        return self.folders.get(name, known.ROOT / name)


def make(output: Output, place: Place) -> str:
    """Run the commands of an output, publish its files and record its ingredients. Returns an error message, "" on success."""
    made_of = known.ingredients(output)
    work = place.work / output.name / known.digest(made_of)  # the same for the same ingredients, so that a stopped run continues
    work.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for number, text in enumerate(output.commands):
        command = place.command(text if number else f"{text} {place.extra}", work)
        print(f"{output.name}: {shlex.join(command)}", flush=True)
        with (work / "log.txt").open("a", encoding="utf-8") as log:
            code = subprocess.run(command, cwd=known.ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT).returncode
        if code:
            return f"exit code {code}, see {work / 'log.txt'}"
    for file, source in output.files.items():
        publish(work / source, place.target(file))
    for table in output.tables:
        page = place.target(table.page) if place.target(table.page).is_file() else known.ROOT / table.page
        pasted = with_tables(page.read_text(encoding="utf-8"), (work / table.file).read_text(encoding="utf-8"), table.heading, table.under)
        write(place.target(table.page), pasted.encode())
    if not place.trial:
        known.write_record({**known.read_record(), output.name: {"made": today(), "of": made_of}})
    return ""


def publish(source: Path, target: Path) -> None:
    """Copy a file into the docs. A PNG is converted to JPEG if the target's name ends in .jpg."""
    data = source.read_bytes()
    if target.suffix == ".jpg" and source.suffix == ".png":
        buffer = io.BytesIO()
        Image.open(source).convert("RGB").save(buffer, "JPEG", quality=85, optimize=True)
        data = buffer.getvalue()
    write(target, data)


def write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, data)


def today() -> str:
    return datetime.now(timezone.utc).date().isoformat()


def accept(reason: str, outputs: list[Output]) -> int:
    """Record the current code for outputs that differ only in their code. Returns the number of outputs that stay out of date."""
    record, left = known.read_record(), 0
    for output in outputs:
        reasons = known.changed(output, record)
        if not set(reasons) <= set(ACCEPTABLE) or output.name not in record:
            left += bool(reasons)
            print(f"{output.name}: not accepted, {', '.join(reasons)} changed") if reasons else None
        elif reasons:
            entry: dict[str, Any] = record[output.name]
            record[output.name] = {**entry, "of": known.ingredients(output), "accepted": f"{today()}, {', '.join(reasons)}: {reason}"}
            print(f"{output.name}: accepted, {', '.join(reasons)}")
    known.write_record(record)
    return left


def mark(outputs: list[Output]) -> None:
    """Write notes on out-of-date outputs into the pages."""
    for page, names in known.notes(outputs, known.out_of_date(outputs)).items():
        text = page.read_text(encoding="utf-8")
        if (noted := with_note(text, names)) != text:
            write(page, noted.encode())
            print(page.relative_to(known.ROOT))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("renew.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="outputs; all by default")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--anew", action="store_true", help="also what is current")
    parser.add_argument("--at-most", type=float, default=math.inf, metavar="MINUTES", help="only what takes at most so long")
    parser.add_argument(
        "--scale", type=float, default=1, help="share of scenes, images and steps; below 1 nothing in the repository changes"
    )
    parser.add_argument("--work", type=Path, default=known.ROOT / "runs" / "renew", help="folder of what is under way")
    parser.add_argument("--with", dest="extra", default="", metavar="OPTIONS", help="of a trial: options of its first command besides")
    parser.add_argument("--data", nargs="*", default=[], metavar="NAME=FOLDER", help="folders that outputs need and that are elsewhere")
    parser.add_argument("--mark", action="store_true", help="note on the pages what is out of date there")
    parser.add_argument("--accept", metavar="REASON", help="record changes of code that do not change what it computes")
    given = parser.parse_args(arguments)
    outputs = known.read_outputs()
    if unknown := set(given.names) - {output.name for output in outputs}:
        parser.error(f"there is no output {min(unknown)}; there are {', '.join(output.name for output in outputs)}")
    if not 0 < given.scale <= 1:
        parser.error(f"--scale {given.scale}: must be a share in (0, 1]")
    chosen = [output for output in outputs if not given.names or output.name in given.names]
    if given.accept:
        return min(1, accept(given.accept, chosen))
    if given.mark:
        mark(outputs)
        return 0
    folders = {name: Path(folder).absolute() for name, _, folder in (text.partition("=") for text in given.data)}
    place = Place(given.work.absolute(), folders, given.scale, given.extra)
    return renew(chosen, outputs, place, anew=given.anew or place.trial, at_most=given.at_most, dry_run=given.dry_run)


def renew(chosen: list[Output], outputs: list[Output], place: Place, *, anew: bool, at_most: float, dry_run: bool) -> int:
    """Make the outputs that are out of date, or print what would be made. Returns 1 if any failed, else 0."""
    stale, minutes, failed = {} if place.trial else known.out_of_date(outputs), 0.0, 0
    for output in chosen:
        why = f"out of date: {', '.join(stale[output.name])}" if output.name in stale else "current"
        obstacle, wanted = place.obstacle(output), anew or output.name in stale
        cost = output.minutes * place.scale
        if dry_run or (wanted and obstacle):
            print(f"{cost:6.1f} min  {output.name:36}{why}{f'; {obstacle}' if obstacle else ''}")
        if not wanted or obstacle or output.minutes > at_most:
            continue
        minutes += cost
        if not dry_run and (anew or known.changed(output, known.read_record())):  # remade ingredients may be unchanged
            began = time.monotonic()
            problem = make(output, place)
            failed += bool(problem)
            print(f"{output.name}: {problem or 'done'}, {(time.monotonic() - began) / 60:.1f} min", flush=True)
    if not place.trial:
        cost = f"{minutes:.0f} minutes of one core {'to make' if dry_run else 'were expected'}"
        print(f"{len(stale)} of {len(outputs)} outputs {'are' if dry_run else 'were'} out of date; {cost}")
    return min(1, failed)


if __name__ == "__main__":
    sys.exit(main())
