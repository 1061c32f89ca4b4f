"""Remake every figure, table, picture, notebook output and JSON file of the docs whose ingredients have changed.

    python recipes/renew.py --dry-run                  # print what is out of date and why, and what it would cost
    python recipes/renew.py                            # remake it; a run that was stopped continues where it was python
    recipes/renew.py look truth --anew          # these outputs, even if they are current python recipes/renew.py truth
    --scale 0.01         # a trial with a hundredth of the scenes, published to runs/renew/docs

recipes/outputs.toml lists the outputs. docs/ingredients.json records what each was made from: weights, constants of the
methods that it shows, scenes, commands, and other outputs. Code is not among them:
`python benchmarks/same_bytes.py OLD NEW` guards what it computes. Tables of trained segmenters have their own keys
instead. Sentences about figures, and tables that no `tables` entry names, are edited by hand.
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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # when run as a script, only this folder is on the path

from recipes.renewal import outputs as known
from recipes.renewal.outputs import Output
from recipes.renewal.pages import with_tables
from seediff.files.outputs import write_atomic

FEWEST = 2
"""The smallest number of scenes or images in a trial, whatever its scale."""
WIDEST = 1600
"""Pixels of a page's picture, from left to right, at most."""


@dataclass(frozen=True)
class Place:
    """Where outputs are made. work: the folder for unfinished outputs. folders: name → folder that commands read; by
    default, the folder of that name in the repository. scale: below 1, a trial, which publishes below `work` and
    records nothing."""

    work: Path
    folders: Mapping[str, Path]
    scale: float = 1.0

    def obstacle(self, output: Output) -> str:
        """Why the output cannot be made here; "" if it can."""
        if not output.commands:
            return "no command makes it any more"
        if self.scale < 1 and output.makes:
            return "changes the package: no trial"
        missing = [name for name in output.needs if not (shutil.which(name) or self._folder(name).is_dir())]
        return f"needs {', '.join(missing)}" if missing else ""

    def command(self, text: str, work: Path) -> list[str]:
        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.isdigit():
                return str(max(FEWEST, math.ceil(int(name) * self.scale)))
            return {"work": str(work), "runs": str(self.work), "scale": f"{self.scale:g}"}.get(name) or str(
                self._folder(name)
            )

        return [re.sub(r"\{([\w-]+)\}", value, word) for word in shlex.split(text)]

    def target(self, file: str) -> Path:
        """The path at which a file of the docs is published."""
        return (self.work if self.scale < 1 else known.ROOT) / file

    def _folder(self, name: str) -> Path:
        return self.folders.get(name, known.ROOT / name)


def make(output: Output, place: Place) -> str:
    """Run the commands of an output, publish its files and record its ingredients. Returns an error message, "" on
    success.
    """
    made_of = known.ingredients(output)
    work = (
        place.work / output.name / known.digest(made_of)
    )  # the same for the same ingredients, so that a stopped run continues
    work.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for text in output.commands:
        command = place.command(text, work)
        print(f"{output.name}: {shlex.join(command)}", flush=True)
        with (work / "log.txt").open("a", encoding="utf-8") as log:
            code = subprocess.run(
                command, cwd=known.ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            ).returncode
        if code:
            return f"exit code {code}, see {work / 'log.txt'}"
    for file, source in output.files.items():
        publish(work / source, place.target(file))
    for table in output.tables:
        page = place.target(table.page) if place.target(table.page).is_file() else known.ROOT / table.page
        pasted = with_tables(
            page.read_text(encoding="utf-8"),
            (work / table.file).read_text(encoding="utf-8"),
            table.heading,
            table.under,
        )
        write(place.target(table.page), pasted.encode())
    if place.scale == 1:
        today = datetime.now(timezone.utc).date().isoformat()
        known.write_record({**known.read_record(), output.name: {"made": today, "of": made_of}})
    return ""


def publish(source: Path, target: Path) -> None:
    """Copy a file into the docs. Pictures whose target ends in .jpg become JPEGs at most WIDEST wide."""
    data = source.read_bytes()
    if target.suffix == ".jpg":
        data = page_picture(data)
    write(target, data)


def page_picture(data: bytes) -> bytes:
    """A picture in any format → a small progressive JPEG."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((WIDEST, picture.height))
    picture.save(buffer, "JPEG", quality=80, optimize=True, progressive=True)
    return buffer.getvalue()


def write(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, data)


def renew(chosen: list[Output], outputs: list[Output], place: Place, *, anew: bool, dry_run: bool) -> int:
    """Make the outputs that are out of date, or print what would be made. Returns 1 if any failed, else 0."""
    stale, minutes, failed = {} if place.scale < 1 else known.out_of_date(outputs), 0.0, 0
    for output in chosen:
        why = f"out of date: {', '.join(stale[output.name])}" if output.name in stale else "current"
        obstacle, wanted = place.obstacle(output), anew or output.name in stale
        if dry_run or (wanted and obstacle):
            print(
                f"{output.minutes * place.scale:6.1f} min  {output.name:36}{why}{f'; {obstacle}' if obstacle else ''}"
            )
        if not wanted or obstacle:
            continue
        minutes += output.minutes * place.scale
        if not dry_run and (anew or known.changed(output, known.read_record())):  # remade ingredients may be unchanged
            problem = make(output, place)
            failed += bool(problem)
            print(f"{output.name}: {problem or 'done'}", flush=True)
    print(f"{len(stale)} of {len(outputs)} outputs out of date; {minutes:.0f} minutes of one core")
    return min(1, failed)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "renew.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="outputs; all by default")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--anew", action="store_true", help="also what is current")
    parser.add_argument(
        "--scale",
        type=float,
        default=1,
        help="share of scenes, images and steps; below 1 nothing in the repository changes",
    )
    parser.add_argument("--work", type=Path, default=known.ROOT / "runs" / "renew", help="folder of what is under way")
    parser.add_argument(
        "--data", nargs="*", default=[], metavar="NAME=FOLDER", help="folders that outputs need and that are elsewhere"
    )
    given = parser.parse_args(arguments)
    outputs = known.read_outputs()
    if unknown := set(given.names) - {output.name for output in outputs}:
        parser.error(f"there is no output {min(unknown)}; there are {', '.join(output.name for output in outputs)}")
    if not 0 < given.scale <= 1:
        parser.error(f"--scale {given.scale}: must be a share in (0, 1]")
    chosen = [output for output in outputs if not given.names or output.name in given.names]
    folders = {name: Path(folder).absolute() for name, _, folder in (text.partition("=") for text in given.data)}
    place = Place(given.work.absolute(), folders, given.scale)
    return renew(chosen, outputs, place, anew=given.anew or place.scale < 1, dry_run=given.dry_run)


if __name__ == "__main__":
    sys.exit(main())
