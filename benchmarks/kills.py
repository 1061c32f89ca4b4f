"""Kills a command at random moments, again and again, then lets it finish. Checks that its files equal those of an undisturbed run, and
that no process is left.

    python benchmarks/kills.py                                 # ten kills of a `seediff generate` that keeps everything it can
    python benchmarks/kills.py --kills 20 --seed 1 -- generate --classes dog --per-class 40 --out {out}
    python benchmarks/kills.py --kills 20 --signal INT --twice -- export pets --to voc --workers 2 --out {out}
    python benchmarks/kills.py --all --kills 5                 # every writing command with every kind of signal: a table

After `--` comes any command of seediff, with {out} in place of its output folder. It runs once undisturbed. Then, in another folder, it is
started `--kills` times, each time with a signal to all of its processes, and once more to finish. One signal in five comes at a random
moment before the first file is written. The others come at a random moment after it, chosen so that the attempts together get about as far
as the whole run. The SHA-256 of every file, hidden files included, and the names of all folders are compared. A process that still runs
three seconds after the command ended counts as left. Exit code 1: a difference, a process left, a wrong exit code, or a traceback.

--signal INT is Ctrl-C; --twice sends the signal again up to half a second later. Every attempt is a fork of this process, which has
imported everything once, so that most signals come while the command is at work. Linux only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from fuzzing import seeds
from fuzzing.sandbox import adopt_orphans
from fuzzing.signals import CODES, Plan, Report, measure
from fuzzing.warm import warm_up

from seediff.dataset.formats.known import FormatName

COMMAND = [
    *("generate", "--classes", "dog,cat,car", "--classes-per-image", "2", "--per-class", "12", "--batch-size", "2", "--steps", "8"),
    *("--threads", "1", "--reject", "--keep-soft", "--keep-attention", "--out", "{out}"),
]


def changed(words: Sequence[object], option: str, value: str) -> tuple[str, ...]:
    """A command line with another value for one option."""
    texts = [str(word) for word in words]
    texts[texts.index(option) + 1] = value
    return tuple(texts)


KINDS = get_args(FormatName)
SIX_STEPS = changed(seeds.TRAIN, "--steps", "6")
ALL = {
    "generate": ("generate", *changed(seeds.GENERATE, "--per-class", "6"), "--model", seeds.MODEL),
    "mask": ("mask", "{in}/photos", *seeds.MASK, "--model", seeds.MODEL),
    "segment": ("segment", "{in}/photos", *seeds.SEGMENT, "--model", seeds.MODEL),
    "segment --fit tile": ("segment", "{in}/photos", *seeds.SEGMENT, "--fit", "tile", "--model", seeds.MODEL),
    "augment": ("augment", "{in}/native", *seeds.AUGMENT, "--add", "boxes:40"),
    "augment --workers 2": ("augment", "{in}/native", *seeds.AUGMENT, "--add", "boxes:40", "--workers", "2"),
    "train": ("train", "{in}/native", *SIX_STEPS, "--val-share", "0.5", "--validate-every", "2"),
    "train --workers 2": ("train", "{in}/native", *changed(SIX_STEPS, "--workers", "2")),
    "predict": ("predict", "{in}/segmenter", "{in}/photos", "--device", "cpu"),
    "evaluate": ("evaluate", "{in}/plain", "--data", "{in}/native", "--draws", "100"),
    "filter": ("filter", "{in}/more"),
    "merge": ("merge", "{in}/more", "{in}/generated"),
    "split": ("split", "{in}/more", "--val", "0.3"),
    **{f"export --to {kind}": ("export", "{in}/more", "--to", kind) for kind in KINDS},
    "export --workers 2": ("export", "{in}/more", "--to", "voc", "--workers", "2"),
    **{f"import {kind}": ("import", f"{{in}}/{kind.replace('-', '_')}", "--from", kind) for kind in KINDS},
}
"""Every command that makes a folder → its line without --out."""
IN_PLACE = {
    "check --fix": ("more", ("check", "{out}", "--fix")),
    "split --in-place": ("more", ("split", "{out}", "--val", "0.3", "--in-place")),
    "preview": ("more", ("preview", "{out}")),
}
"""Commands that change a folder → (the input that is copied to {out}, the line)."""
PLANS = ((signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True))


def measure_all(kills: int, seed: int, only: Sequence[str], folder: Path) -> bool:
    """Print a Markdown table of every writing command with every kind of signal; returns whether nothing was wrong."""
    place = folder / "in"
    seeds.build(place)
    more = ("augment", place / "native", "--add", "boxes:120", "--out", place / "more", "--quiet")
    seeds.in_child(lambda: seeds.run(*more), place)
    (folder / "work" / "cwd").mkdir(parents=True, exist_ok=True)
    os.chdir(folder / "work" / "cwd")
    damaged = folder / "damaged"
    shutil.copytree(place / "more", damaged)
    (damaged / "metadata.jsonl").unlink()
    lines = {name: ((*line, "--out", "{out}"), None) for name, line in ALL.items()}
    lines |= {name: (line, damaged if name == "check --fix" else place / source) for name, (source, line) in IN_PLACE.items()}
    print("| command | killed | ended | Ctrl-C | twice | met at work | slowest end, s | processes left | files | bytes |")
    print("|---|" + "---|" * 9, flush=True)
    total, wrong = Report(), []
    for name, (line, prepared) in lines.items():
        if only and not any(text in name for text in only):
            continue
        words = [str(word).replace("{in}", str(place)) for word in line]
        parts = []
        for number, (kind, twice) in enumerate(PLANS):
            own = folder / f"{name.replace(' ', '-')}-{number}"
            try:
                parts.append(measure(words, Plan(kills, seed + number, kind, twice), own, prepared, say=False))
            except RuntimeError as error:
                parts.append(Report(wrong=[str(error)]))
            shutil.rmtree(own, ignore_errors=True)
            wrong += [f"{name}, {kind.name}{' twice' if twice else ''}: {text}" for text in parts[-1].wrong]
        bad = any("bytes" in text or "after kills" in text for part in parts for text in part.wrong)
        cells = [*(part.met for part in parts), sum(part.busy for part in parts), f"{max(part.slowest for part in parts):.1f}"]
        cells += [sum(part.left for part in parts), parts[0].files, "**differ**" if bad else "equal"]
        print(f"| {name} | " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
        total.met += sum(part.met for part in parts)
        total.left += sum(part.left for part in parts)
    print(f"\n{total.met} signals met a running command; {total.left} processes left; {len(wrong)} things wrong")
    for text in wrong:
        print(text)
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--signal", choices=[one.name.removeprefix("SIG") for one in CODES], default="KILL")
    parser.add_argument("--twice", action="store_true", help="a second signal, up to half a second later")
    parser.add_argument("--folder", type=Path, help="where the two runs write, and stay; by default a temporary folder")
    parser.add_argument("--all", action="store_true", help="every writing command; `command` then chooses among them by parts of names")
    parser.add_argument("command", nargs="*", help="after --: a command of seediff with {out} in it")
    given = parser.parse_args()
    command = given.command or COMMAND
    if not given.all and not any("{out}" in argument for argument in command):
        parser.error("the command must have {out} where its output folder goes, such as: --out {out}")
    if given.kills < 1:
        parser.error("--kills must be at least 1")
    warm_up()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if given.all:
            sys.exit(0 if measure_all(given.kills, given.seed, given.command, folder) else 1)
        print(f"seediff {' '.join(command)}", flush=True)
        plan = Plan(given.kills, given.seed, signal.Signals[f"SIG{given.signal}"], given.twice)
        try:
            report = measure(command, plan, folder)
        except RuntimeError as error:
            sys.exit(str(error))
    print(f"{report.files} files; {report.met} of {report.sent} signals met a running process, {report.busy} of them after it wrote")
    print(f"exit codes {dict(report.codes)}; the slowest end took {report.slowest:.1f} s; {report.left} processes left")
    for line in report.wrong:
        print(line)
    print("DIFFERENT" if report.wrong else "all files equal")
    sys.exit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
