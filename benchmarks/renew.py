"""New weights of the embedded model into the package, and everything that stands on them made anew: preset, figures, tables.

    python benchmarks/renew.py --list
    python benchmarks/renew.py ship --pipeline runs/mini/pipeline
    python benchmarks/renew.py constants
    python benchmarks/renew.py tables --art art &        # hours of a core
    python benchmarks/renew.py figures                   # as long; the two may run beside each other
    python benchmarks/renew.py photographs --voc VOC2012

What is done is marked in `--work`, by the weights: a run that was stopped goes on where it was. Results of tables are kept in docs/studies
under keys that name the weights, so those of other weights are never taken. Renewed by hand: thresholds of the preset (presence,
name_threshold, segments), for which `figures` measures what would be best, the pages: tables by `paste_tables.py`, sentences and pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from seediff.files.documents import read_json
from seediff.files.outputs import write_atomic
from seediff.files.reading import SETTINGS
from seediff.models.fingerprint import content_fingerprint
from seediff.models.registry import EMBEDDED

MINI = EMBEDDED["mini"]
PARTS = ("unet", "text_encoder", "vae")
TABLES = (  # the one that shares most with others first
    *("gap", "drawing", "steps", "strategy", "main", "ablation", "pamr", "resolution", "zero-shot"),
    *("cityscapes", "domain", "ade20k", "selection", "augmentation", "scale"),
)
LANES = {
    "constants": {
        "truth": "seediff study truth --scenes 500 --tune-scenes 100 --out {work}/truth --json docs/truth.json",
        "generated": "seediff study generated --images 190 --constants docs/truth.json --out {work}/generated",
        "preset": "python benchmarks/take_constants.py {work}/truth/results.json {work}/generated/results.json",
    },
    "tables": {
        name: f"seediff study {name} --out docs/studies/{name} --reuse docs/studies --art {{art}} --work {{work}}/sets" for name in TABLES
    },
    "photographs": {
        "photographs": "seediff study photographs --out docs/studies/photographs --data voc={voc}"
        " --reuse docs/studies --art {art} --work {work}/sets"
    },
    "figures": {
        "check": "seediff mini check --out {work}/quality",
        "published": "cp {work}/quality/quality.json docs/quality.json",
        "names": "python benchmarks/names.py --scenes 60",
        "tuning scenes": "seediff mini scenes --set tune --count 100 --out {work}/tuning",
        "thresholds": "seediff tune {work}/tuning --count 100 --out {work}/thresholds.toml",
        "shift": "seediff study truth --set shift --scenes 300 --constants docs/truth.json --out {work}/shift --json docs/shift.json",
        "fit": "seediff study fit --out {work}/fit",
        "confidence": "seediff study confidence --scenes 200 --out {work}/confidence --json docs/confidence.json",
        "segments": "seediff study segments --scenes 500 --tune-scenes 100 --out {work}/segments --json docs/segments.json",
        "segments of other art": "seediff study segments --set shift --scenes 300 --constants docs/segments.json"
        " --out {work}/segments-shift --json docs/segments-shift.json",
        "divergences": "python benchmarks/row_divergences.py --scenes 60",
        "aggregation": "seediff study aggregation --scenes 100 --sweep kl_threshold --sweep num_points --sweep timestep"
        " --out {work}/aggregation --json docs/aggregation.json",
        "presence": "seediff study presence --scenes 150 --tune-scenes 10 --out {work}/presence --json docs/presence.json",
        "presence in other art": "seediff study presence --set shift --scenes 100 --tune-scenes 4 --out {work}/presence-shift"
        " --json docs/presence-shift.json",
    },
}
"""Lane → step → its command. `figures` and `tables` need the preset."""
NEEDS = {
    "generated": "truth",
    "preset": "generated",
    "published": "check",
    "thresholds": "tuning scenes",
    "segments of other art": "segments",
}


def ship(pipeline: Path) -> None:
    """Put the pipeline's weights in place of the package's, which keeps its scheduler, its tokenizer and, until `constants`, its preset."""
    about = MINI / "seediff.json"
    kept = read_json(about, dict[str, Any], limit=SETTINGS)
    new = read_json(pipeline / "seediff.json", dict[str, Any], limit=SETTINGS)
    for part in PARTS:
        for file in sorted((pipeline / part).iterdir()):
            shutil.copyfile(file, MINI / part / file.name)
    told = {key: new[key] for key in ("samples", "recipe", "history") if key in new}
    kept.pop("history", None)
    write_atomic(about, (json.dumps({**kept, **told}, indent=2) + "\n").encode())
    print(f"{MINI}: {told['samples']:,} samples; check them, and say how they came to be in docs/mini.md")


def renew(lane: str, work: Path, **folders: Path) -> int:
    """Run the lane's steps that these weights have no mark of yet, and return how many failed. A step that needs one before it (`NEEDS`)
    is left out when that failed."""
    work.mkdir(parents=True, exist_ok=True)
    weights = content_fingerprint(MINI / "unet")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    failed: set[str] = set()
    for step, command in LANES[lane].items():
        name = f"{weights}-{lane}-{step.replace(' ', '-')}"
        if (mark := work / f"{name}.done").exists():
            continue
        if NEEDS.get(step) in failed:
            print(f"{step}: left out, for {NEEDS[step]} failed", flush=True)
            failed.add(step)
            continue
        began = time.monotonic()
        print(f"{step}: {(line := command.format(work=work, **folders))}", flush=True)
        with (work / f"{name}.log").open("w", encoding="utf-8") as log:
            code = subprocess.run(line.split(), env=environment, stdout=log, stderr=subprocess.STDOUT).returncode
        end = "done" if code == 0 else f"exit code {code}, see {log.name}"
        print(f"{step}: {end}, {(time.monotonic() - began) / 60:.1f} min", flush=True)
        if code == 0:
            mark.touch()
        else:
            failed.add(step)
    return len(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="?", choices=("ship", *LANES))
    parser.add_argument("--list", action="store_true", help="print every command and do nothing")
    parser.add_argument("--pipeline", type=Path, help="of ship: the folder that `seediff mini train` wrote")
    parser.add_argument("--work", type=Path, default=Path("runs/renew"))
    parser.add_argument("--art", type=Path, default=Path("art"))
    parser.add_argument("--voc", type=Path, default=Path("VOC2012"))
    args = parser.parse_args()
    if args.list or args.what is None:
        for lane in LANES:
            print(f"{lane}:", *LANES[lane].values(), sep="\n  ")
    elif args.what == "ship":
        if args.pipeline is None:
            parser.error("ship needs --pipeline")
        ship(args.pipeline)
    else:
        return min(1, renew(args.what, args.work, art=args.art, voc=args.voc))
    return 0


if __name__ == "__main__":
    sys.exit(main())
