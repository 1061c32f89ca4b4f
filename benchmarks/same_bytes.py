"""Checks whether two source trees write the same bytes: runs small commands of every kind with both, and compares their files by hash.

    python benchmarks/same_bytes.py OLD NEW                      # both are checkouts of this repository; 15 minutes per tree
    python benchmarks/same_bytes.py OLD NEW --only generate      # commands whose names begin so, and those that they need
    python benchmarks/same_bytes.py OLD NEW --work /tmp/same     # keeps OLD's files there, and reuses them the next time

Exit code 1: a file differs, or a command fails in one of the trees. --without leaves out commands, such as one removed on purpose.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = {
    "*/seediff.toml": "names the version, and says where values are from",
    "*/README.md": "text for people, with the version",
    "*/preview.html": "text for people, with the version",
    "table/work/*": "keys of the configurations' text; what is measured is in results.json",
}
"""Files that may differ, and why. Both trees must still write them."""
SECONDS = re.compile(rb'"seconds":\s*(\[[^]]*\]|[0-9.]+)')
DRAW = "generate --classes dog,cat --per-class 3 --steps 2 --batch-size 4 --keep-soft --keep-attention"
LOOK = "--timesteps 150 --batch-size 4"
EXPORTS = {
    "voc": "--objects --boxes",
    "coco": "--panoptic",
    "yolo": "--split 0.4",
    "parquet": "",
    "webdataset": "",
    "ultralytics": "",
    "cvat": "--objects",
    "labelstudio": "",
    "imagefolder": "",
}
TABLE = """title = "Two rows"
sets.main = "set.toml"
data.ca = { set = "main", labels = "ca", count = 4 }
test.held_out = { scenes = "truth", count = 4 }
train = { backbone = "tiny", weights = "scratch", epochs = 1 }
rows = [{ name = "CA", train = ["ca"] }]
"""
COMMANDS = {
    "generate": f"{DRAW} --out generate",
    **{f"generate-{method}": f"{DRAW} --method {method} --out generate-{method}" for method in ("ca", "ca_sa", "reference")},
    "generate-reject": f"{DRAW} --classes-per-image 1,2 --reject --expansion parallel --image-format jpg --out generate-reject",
    "generate-dit": "generate --classes dog --per-class 2 --steps 2 --model mini-dit --keep-attention --out generate-dit",
    "mask": f"mask generate/images --classes dog,cat {LOOK} --keep-soft --keep-attention --out mask",
    "mask-crop": f"mask generate/images --classes dog --fit crop --method ca_sa --no-pamr {LOOK} --out mask-crop",
    "segment": "segment generate/images --names dog,cat,grass --batch-size 4 --out segment",
    "segment-kmeans": "segment generate/images --method kmeans -k 4 --fit resize --out segment-kmeans",
    "segment-diffcut": "segment generate/images --method diffcut --refine --out segment-diffcut",
    "augment": "augment generate --add flip:50%,splice-2x2:50%,noise:2,blur:2,perspective:2,boxes:2,objects:2,colour:2 --out augment",
    **{f"export-{name}": f"export generate --to {name} {more} --out export-{name}" for name, more in EXPORTS.items()},
    **{f"import-{name}": f"import export-{name} --from {name} --out import-{name}" for name in EXPORTS},
    "filter": "filter generate --best 2 --ignore-band 0.3,0.6 --out filter",
    "merge": "merge generate generate-ca --out merge",
    "split": "split generate --val 0.3 --out split",
    "train": "train generate --backbone tiny --architecture segformer --steps 20 --batch-size 4 --out train",
    "predict": "predict train generate/images --out predict",
    "study-truth": "study truth --scenes 2 --tune-scenes 2 --timesteps 150 --out study-truth",
    "study-segments": "study segments --scenes 2 --tune-scenes 2 --out study-segments",
    "study-table": "study pamr --config table.toml --seeds 0 --out table/results --work table/work",
}
"""Name → a command of `seediff`, run in a folder that has the outputs of the commands before it."""
MOVED = {"study pamr": ("recipes/tables", "recipes.tables pamr")}
"""Command → (folder, program): a tree that has this folder has the program instead of the command."""


def needed(name: str) -> list[str]:
    """The commands that a command depends on, and the command itself, in order."""
    words = COMMANDS[name].split()
    before = [other for word in words[:-1] if (other := word.split("/")[0]) in COMMANDS and other not in (name, words[0])]
    return [*dict.fromkeys(one for other in before for one in needed(other)), name]


CHILD = """
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from seediff.cli import main
for argument in list(sys.argv[1:]):
    name, _, command = argument.partition(":")
    first, *others = command.split()
    with open(f"{name}.log", "w") as log, redirect_stdout(log), redirect_stderr(log):
        if "." in first:
            sys.argv[1:] = others
            try:
                runpy.run_module(first, run_name="__main__", alter_sys=True)
                code = 0
            except SystemExit as end:
                code = end.code
        else:
            code = main([first, *others])
    Path(f"{name}.code").write_text(str(code))
"""
"""Runs all commands of a tree in one process, because importing torch takes longer than most of them."""


def run(tree: Path, work: Path, names: list[str]) -> set[str]:
    """Run commands that have not succeeded yet with the sources of `tree`, in the folder `work`; returns the names of those that failed."""

    def succeeded(name: str) -> bool:
        return (work / f"{name}.code").is_file() and (work / f"{name}.code").read_text() == "0"

    def command(name: str) -> str:
        text = COMMANDS[name]
        for before, (folder, after) in MOVED.items():
            text = text.replace(before, after) if (tree / folder).is_dir() else text
        return text

    environment = {**os.environ, "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree}", "OMP_NUM_THREADS": "1"}
    todo = [f"{name}:{command(name)}" for name in names if not succeeded(name)]
    subprocess.run([sys.executable, "-c", CHILD, *todo], cwd=work, env=environment)
    failed = {name for name in names if not succeeded(name)}
    for name in sorted(failed):
        log = work / f"{name}.log"
        print(f"{tree}: {name} failed: {log.read_text(errors='replace').strip()[-500:] if log.is_file() else 'not begun'}", flush=True)
    return failed


def hashes(work: Path, name: str) -> dict[str, str]:
    """Path → hash of every file that a command wrote; "" for files that may differ."""
    out = work / COMMANDS[name].rpartition("--out ")[2].split()[0]
    files = {path.relative_to(work).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    return {
        file: "" if any(fnmatch.fnmatch(file, pattern) for pattern in SKIPPED) else hashlib.sha256(content(path)).hexdigest()
        for file, path in files.items()
    }


def content(path: Path) -> bytes:
    """The bytes of a file; of a study's results.json without the seconds that it took."""
    return SECONDS.sub(b"", path.read_bytes()) if path.name == "results.json" else path.read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--only", default="", help="beginnings of names, with commas between")
    parser.add_argument("--without", default="", help="names, with commas between")
    parser.add_argument("--work", type=Path, help="folder in which OLD's files stay")
    given = parser.parse_args()
    wanted = [n for n in COMMANDS if n.startswith(tuple(given.only.split(","))) and n not in given.without.split(",")]
    names = list(dict.fromkeys(one for name in wanted for one in needed(name)))
    with tempfile.TemporaryDirectory() as scratch:
        old, new = (given.work or Path(scratch)) / "old", Path(scratch) / "new"
        for work in (old, new):
            work.mkdir(parents=True, exist_ok=True)
            (work / "table.toml").write_text(TABLE, encoding="utf-8")
            drawn = next(given.old.rglob("tables/embedded/set.toml")).read_text(encoding="utf-8")
            (work / "set.toml").write_text(drawn.replace("images = 1000", "images = 4"), encoding="utf-8")
        failed = run(given.old.resolve(), old, names) | run(given.new.resolve(), new, names)
        for name in names:
            before, after = hashes(old, name), hashes(new, name)
            differ = sorted(file for file in before.keys() | after.keys() if before.get(file) != after.get(file))
            compared = sum(bool(value) for value in before.values())
            print(f"{name}: {len(differ)} of {compared} files differ" + ("".join(f"\n  {file}" for file in differ[:5])), flush=True)
            failed |= {name} if differ or not compared else set()
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
