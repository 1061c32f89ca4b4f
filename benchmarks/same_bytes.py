"""Checks whether two source trees write the same files: runs small commands of every kind with both, and says what
differs in which file.

    python benchmarks/same_bytes.py OLD NEW                     # two checkouts of this repository; 15 minutes a tree
    python benchmarks/same_bytes.py OLD NEW --only generate     # cases whose names begin so, and those that they need
    python benchmarks/same_bytes.py OLD NEW --work /tmp/same    # keeps OLD's files there, for the next time

Pictures in PNG are compared by mode, palette and pixels, safetensors by their tensors and their header's fields,
everything else byte by byte. Exit code 1: a file differs, or a command fails in one of the
trees.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from files_compared import compare  # beside this file
from same_bytes_families import FAMILIES, SIDES

HERE = Path(__file__).resolve().parent
DRAW = "generate --classes dog,cat --per-class 3 --steps 2 --batch-size 4 --keep-soft --keep-attention"
MINI = "--model mini"
LOOK = "--timesteps 150 --batch-size 4"
TWINS = {name: f"--device cpu --size {SIDES.get(name, 64)} --model twins/{name}" for name in FAMILIES}
METHODS = ("ca", "ca_sa", "daam")
FILES = ("reference", "diffsegmenter", "fa_seg", "iseg_walk", "nerve_walk")
"""Methods that are files in recipes/methods/."""
EXPORTS = {
    "voc": "--jpeg",
    "coco": "",
    "yolo": "--split 0.4",
    "masks": "",
    "cvat": "",
    "labelstudio": "",
    "labelme": "--polygons",
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
    **{f"generate-{method}": f"{DRAW} --method {method} --out generate-{method}" for method in METHODS},
    **{f"generate-{one}": f"{DRAW} --method TREE/recipes/methods/{one}.py:{one} --out generate-{one}" for one in FILES},
    "generate-reject": (
        f"{DRAW} --classes-per-image 1,2 --reject --expansion parallel --image-format jpg --out generate-reject"
    ),
    "generate-compete": (
        f"{DRAW} --classes-per-image 2 --no-reject --compete --beta otsu --objects --out generate-compete"
    ),
    "generate-geometric": (
        f"{DRAW} --capture-mean geometric --capture-layers up/last --no-capture-normalize --out generate-geometric"
    ),
    "generate-none": f"{DRAW} --expansion none --no-background --no-pamr --out generate-none",
    "generate-iterative": f"{DRAW} --expansion iterative --alpha 0.4 --out generate-iterative",
    "generate-asked": f"{DRAW} --capture-prompt={{class}} --ignore-band 0.3,0.6 --out generate-asked",
    "generate-dit": (
        "generate --classes dog --per-class 2 --steps 2 --model mini-dit --keep-attention --out generate-dit"
    ),
    "mask": f"mask generate/images {MINI} --classes dog,cat {LOOK} --keep-soft --keep-attention --out mask",
    "mask-crop": (
        f"mask generate/images {MINI} --classes dog --fit crop --method ca_sa --no-pamr {LOOK} --out mask-crop"
    ),
    "mask-flip": (
        f"mask generate/images {MINI} --classes dog,cat --presence 0 --capture-flip {LOOK} --keep-attention --out"
        " mask-flip"
    ),
    "segment": f"segment generate/images {MINI} --names dog,cat,grass --batch-size 4 --out segment",
    "segment-refine": (
        f"segment generate/images {MINI} --refine --kl-threshold 0.9 --num-points 8 --fit crop --size 48 --out"
        " segment-refine"
    ),
    "segment-kmeans": f"segment generate/images {MINI} --method kmeans -k 4 --fit resize --out segment-kmeans",
    "segment-diffcut": f"segment generate/images {MINI} --method diffcut --out segment-diffcut",
    **{f"script-{name}": f"same_bytes_families.py {name} --out script-{name}" for name in FAMILIES},
    **{
        f"generate-{name}": (
            f"generate --classes dog,cat --per-class 1 --steps 2 --keep-attention {twin} --out generate-{name}"
        )
        for name, twin in TWINS.items()
    },
    **{
        f"mask-{name}": (
            f"mask generate/images --classes dog,cat --presence 0 {LOOK} --keep-attention {twin} --out mask-{name}"
        )
        for name, twin in TWINS.items()
    },
    **{
        f"segment-{name}": f"segment generate/images --names dog,cat --num-points 4 {twin} --out segment-{name}"
        for name, twin in TWINS.items()
    },
    "augment": "augment generate --add flip:50%,splice-2x2:50%,noise:2,perspective:2,boxes:2 --out augment",
    **{f"export-{name}": f"export generate --to {name} {more} --out export-{name}" for name, more in EXPORTS.items()},
    "export-trainer": "export generate --to trainer --classes dog --out export-trainer",
    "export-cutouts": "export generate --to cutouts --out export-cutouts",
    "export-coco-objects": "export generate-compete --to coco --polygons --min-area 9 --out export-coco-objects",
    **{f"import-{name}": f"import export-{name} --from {name} --out import-{name}" for name in EXPORTS},
    "import-coco-objects": "import export-coco-objects --from coco --out import-coco-objects",
    "import-masks": "import generate --from masks --classes generate/classes.txt --out import-masks",
    "filter": "filter generate --best 2 --max-components 99 --out filter",
    "merge": "merge generate generate-ca --out merge",
    "split": "split generate --val 0.3 --out split",
    "train": "train generate --backbone tiny --architecture segformer --steps 20 --batch-size 4 --out train",
    "predict": "predict train generate/images --out predict",
    "evaluate": "evaluate train --data generate --draws 20 --out evaluate",
    "evaluate-segments": "evaluate segments segment --labels generate/masks --json evaluate-segments.json",
    "table": "-m recipes.tables pamr --config table.toml --seeds 0 --out table/results --work table/work",
}
"""Name → a command of `seediff`, of a file in this folder, or (-m) of a module in the tree. It runs in a folder that
has the files of the commands before it, and `twins/`, a narrow model of each family."""


def needed(name: str) -> list[str]:
    """The commands that a command depends on, and the command itself, in order."""
    words = COMMANDS[name].split()
    before = [
        other for word in words[:-1] if (other := word.split("/")[0]) in COMMANDS and other not in (name, words[0])
    ]
    return [*dict.fromkeys(one for other in before for one in needed(other)), name]


CHILD = """
import runpy
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from seediff.cli.main import main
here, *arguments = sys.argv[1:]
for argument in arguments:
    name, _, command = argument.partition(":")
    first, *others = command.split()
    with open(f"{name}.log", "w") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            if first == "-m":
                sys.argv[1:] = others[1:]
                runpy.run_module(others[0], run_name="__main__", alter_sys=True)
                code = 0
            elif first.endswith(".py"):
                sys.argv[1:] = others
                runpy.run_path(f"{here}/{first}", run_name="__main__")
                code = 0
            else:
                code = main([first, *others])
        except SystemExit as end:
            code = end.code or 0
        except Exception:
            traceback.print_exc()
            code = 1
    Path(f"{name}.code").write_text(str(code))
"""
"""Runs all commands of a tree in one process, because importing torch takes longer than most of them."""


def run(tree: Path, work: Path, names: list[str]) -> set[str]:
    """Run commands that have not succeeded yet with the sources of `tree`, in the folder `work`; returns the names of
    those that failed.
    """

    def succeeded(name: str) -> bool:
        return (work / f"{name}.code").is_file() and (work / f"{name}.code").read_text() == "0"

    environment = {**os.environ, "PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree}", "OMP_NUM_THREADS": "1"}
    lines = {name: COMMANDS[name].replace("TREE", str(tree)) for name in names}
    todo = [f"{name}:{lines[name]}" for name in names if not succeeded(name)]
    if todo:
        subprocess.run([sys.executable, "-c", CHILD, str(HERE), *todo], cwd=work, env=environment)
    failed = {name for name in names if not succeeded(name)}
    for name in sorted(failed):
        log = work / f"{name}.log"
        said = log.read_text(errors="replace").strip()[-500:] if log.is_file() else "not begun"
        print(f"{tree}: {name} failed: {said}", flush=True)
    return failed


def save_twins(folder: Path) -> None:
    """Save a narrow model of each family with this tree's builders, unless they are there: both trees get the same
    files.
    """
    if not folder.is_dir():
        places = os.pathsep.join(str(HERE.parent / part) for part in ("src", "tests", ""))
        environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
        made = folder.with_name(f"{folder.name}-{os.getpid()}")
        subprocess.run([sys.executable, HERE / "same_bytes_families.py", "--save", made], env=environment, check=True)
        made.rename(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--only", default="", help="beginnings of names, with commas between")
    parser.add_argument("--work", type=Path, help="folder in which OLD's files stay")
    given = parser.parse_args()
    wanted = [name for name in COMMANDS if name.startswith(tuple(given.only.split(",")))]
    names = list(dict.fromkeys(one for name in wanted for one in needed(name)))
    with tempfile.TemporaryDirectory() as scratch:
        kept = (given.work or Path(scratch)).resolve()
        kept.mkdir(parents=True, exist_ok=True)
        save_twins(kept / "twins")
        old, new = kept / "old", Path(scratch) / "new"
        for work in (old, new):
            work.mkdir(exist_ok=True)
            if not (work / "twins").exists():
                (work / "twins").symlink_to(kept / "twins")
            (work / "table.toml").write_text(TABLE, encoding="utf-8")
            drawn = next(given.old.rglob("tables/embedded/set.toml")).read_text(encoding="utf-8")
            (work / "set.toml").write_text(drawn.replace("images = 1000", "images = 4"), encoding="utf-8")
        failed = run(given.old.resolve(), old, names) | run(given.new.resolve(), new, names)
        for name in names:
            compared, differ, said = compare(old, new, re.findall(r"--(?:out|json) (\S+)", COMMANDS[name])[0])
            print("\n  ".join([f"{name}: {differ} of {compared} files differ", *said]), flush=True)
            failed |= {name} if differ or not compared else set()
    print(f"{len(failed)} of {len(names)} cases differ or failed: {', '.join(sorted(failed)) or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
