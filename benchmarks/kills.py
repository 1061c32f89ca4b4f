"""Kills a command at random moments, again and again, then lets it finish. Checks that its files equal those of an
undisturbed run, and that no process is left.

    python benchmarks/kills.py --kills 5                  # every writing command with every kind of signal
    python benchmarks/kills.py --kills 20 export generate # commands with these words in their names

Each command runs once undisturbed. Then, in another folder, it is started `--kills` times, each time with a signal to
all of its processes, and once more to finish. One signal in five comes at a random moment before the first file is
written. The others come at a random moment after it, chosen so that the attempts together get about as far as the whole
run. The SHA-256 of every file, hidden files included, and the names of all folders are compared. A process that still
runs three seconds after the command ended counts as left. Exit code 1: a difference, a process left, a wrong exit code,
or a traceback.

SIGINT is Ctrl-C; "twice" sends it again up to half a second later. Every attempt is a fork of this process, which has
imported everything once, so that most signals come while the command is at work. Linux only.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

from signals import Plan, Report, adopt_orphans, finish, measure

import seediff
from seediff.dataset.formats.format_table import FormatName

DRAW = "generate --classes dog,cat,car --classes-per-image 2 --batch-size 2 --threads 1 --keep-soft --keep-attention"
TRAIN = (
    "train native --architecture segformer --backbone tiny --weights scratch --batch-size 2 --crop 32 --test-side 32"
    " --device cpu"
)
LOOK = "native/images --batch-size 1 --threads 1"
KINDS = get_args(FormatName)
INPUTS = {
    "native": f"{DRAW} --per-class 4 --steps 2",
    "more": "augment native --add boxes:120",
    "segmenter": f"{TRAIN} --steps 2 --save-every 1 --workers 0",
    "plain": "predict segmenter native/images --device cpu",
    **{f"as-{kind}": f"export native --to {kind}" for kind in KINDS},
}
"""Folder → the command that makes it."""
ALL = {
    "generate": f"{DRAW} --per-class 6 --steps 1",
    "mask": f"mask {LOOK} --classes dog,cat --timesteps 300 --keep-soft --presence 0",
    "segment": f"segment {LOOK} --method kmeans -k 3",
    "segment --fit tile": f"segment {LOOK} --method kmeans -k 3 --fit tile --size 64",
    "augment": "augment native --add flip:100%,noise:2,boxes:40",
    "augment --workers 2": "augment native --add flip:100%,noise:2,boxes:40 --workers 2",
    "train": f"{TRAIN} --steps 6 --save-every 1 --workers 0 --val-share 0.5 --validate-every 2",
    "train --workers 2": f"{TRAIN} --steps 6 --save-every 1 --workers 2",
    "predict": "predict segmenter native/images --device cpu",
    "evaluate": "evaluate plain --data native --draws 100",
    "filter": "filter more",
    "merge": "merge more native",
    "split": "split more --val 0.3",
    **{f"export --to {kind}": f"export more --to {kind}" for kind in KINDS},
    "export --workers 2": "export more --to voc --workers 2",
    **{f"import {kind}": f"import as-{kind} --from {kind}" for kind in KINDS},
}
"""Every command that makes a folder → its line without --out."""
IN_PLACE = {"split --in-place": "split {out} --val 0.3 --in-place"}
"""Commands that change a folder, a copy of `more`."""
PLANS = ((signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True))


def warm_up() -> None:
    """Import what commands import, so that no attempt has to. Must not use torch's threads, which a fork would not
    have.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "SEEDIFF_DEBUG": "0", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer, SegformerForSemanticSegmentation

    torch.set_num_threads(1)
    # Libraries import these parts when they are first accessed.
    assert all((AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel))
    assert all((CLIPTextModel, CLIPTokenizer, SegformerForSemanticSegmentation))
    own = [
        module.name
        for module in pkgutil.walk_packages(seediff.__path__, "seediff.")
        if not module.name.endswith("__main__")
    ]
    for name in (*own, "pyarrow.parquet", "scipy.ndimage", "rich.progress", "safetensors.torch"):
        with suppress(ImportError):
            importlib.import_module(name)


def measure_all(kills: int, seed: int, only: Sequence[str], folder: Path) -> bool:
    """Print a Markdown table of every writing command with every kind of signal; returns whether nothing was wrong."""
    os.chdir(folder)
    lines = {name: (f"{line} --out {{out}}", None) for name, line in ALL.items()}
    lines |= {name: (line, folder / "more") for name, line in IN_PLACE.items()}
    lines = {name: line for name, line in lines.items() if not only or any(text in name for text in only)}
    with (folder / "inputs.txt").open("w", encoding="utf-8") as log:
        for name, line in INPUTS.items():
            finish([*line.split(), "--out", name, "--quiet"], folder / name, log)
    print(
        "| command | killed | ended | Ctrl-C | twice | met at work | slowest end, s | processes left | files | bytes |"
    )
    print("|---|" + "---|" * 9, flush=True)
    total, wrong = Report(), []
    for name, (line, prepared) in lines.items():
        parts = []
        for number, (kind, twice) in enumerate(PLANS):
            own = folder / f"{name.replace(' ', '-')}-{number}"
            try:
                parts.append(measure(line.split(), Plan(kills, seed + number, kind, twice), own, prepared))
            except RuntimeError as error:
                parts.append(Report(wrong=[str(error)]))
            shutil.rmtree(own, ignore_errors=True)
            wrong += [f"{name}, {kind.name}{' twice' if twice else ''}: {text}" for text in parts[-1].wrong]
        bad = any("bytes" in text or "after kills" in text for part in parts for text in part.wrong)
        cells = [
            *(part.met for part in parts),
            sum(part.busy for part in parts),
            f"{max(part.slowest for part in parts):.1f}",
        ]
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
    parser.add_argument("command", nargs="*", help="parts of the names of commands; all by default")
    given = parser.parse_args()
    warm_up()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if measure_all(given.kills, given.seed, given.command, Path(folder).resolve()) else 1)


if __name__ == "__main__":
    main()
