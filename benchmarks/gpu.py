"""Speed and correctness on a GPU: the capture kernels, every family at its published shape with random weights, and the
work afterwards.

    python benchmarks/gpu.py --minutes 40 --json gpu.json
    python benchmarks/gpu.py --rows sd1.5:8,flux-dev:1 --apart 150  # model:batch, a process of its own for each row
    python benchmarks/gpu.py --only tiles                           # of the kernels
    python benchmarks/gpu.py --rows sdxl:1 --offload model          # the same row with it
    python benchmarks/gpu.py --tiny --device cpu                    # narrow twins: checks that it runs, also on a CPU

`pack_for_gpu.py` prepares a folder for a machine without a network, and prints the commands of ten minutes there.

Nothing is downloaded. A row that does not fit into memory or time says so, and the next row is tried. Images per second
are for the family's default number of steps, computed from a run of 6 steps and the time of a step within it. Images
with masks and files are made by `generate`, which captures only the maps that the masks read, and on a GPU makes masks
and files during the next batch.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the twins, whose text comes from recipes/
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # must be set before anything imports triton

from builders.published import NETWORKS, network  # pyright: ignore[reportMissingImports]
from on_gpu.drawing import draw_row
from on_gpu.fused import compare, head_widths
from on_gpu.pipelines import exact, twin
from on_gpu.segments_and_masks import measure_work, works
from on_gpu.tiles import LAYERS, TILES, TINY, compile_tiles, tune

from seediff.devices import check_device, default_device, default_dtype, has_bfloat16
from seediff.models.registry import Model, load_model
from seediff.models.saving_memory import Offload, check_offload, move_to

MODELS = (
    "sd1.5,sd2-base,lcm-dreamshaper,sdxl,pixart-sigma,sd3.5-medium,flux-dev,flux2-dev,klein-4b,z-image-turbo,chroma,qwen-image,"
    "ernie-image,lumina2,sana,krea2-turbo,qwen-image-2.1"
)
"""The default models: one per family, and both Stable Diffusion 1 and 2."""
EVERY = ",".join(f"{name}:1,{name}:8" for name in MODELS.split(","))
SECTIONS = ("kernels", "after", "tiles", "drawing")
Row = tuple[str, int]
"""A model and a batch size."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=40, help="nothing is begun after so many")
    parser.add_argument(
        "--rows", help=f"model:batch, …; default: one per family at 1 and 8. Models: {', '.join(NETWORKS)}"
    )
    parser.add_argument("--device", default=default_device())
    parser.add_argument(
        "--dtype", choices=["float32", "float16", "bfloat16"], help="default: bfloat16 on a GPU that has it"
    )
    parser.add_argument("--offload", choices=get_args(Offload), default="none", help="of all rows; needs a GPU")
    parser.add_argument("--only", choices=SECTIONS, help="default: all but tiles")
    parser.add_argument(
        "--apart", type=float, metavar="SECONDS", help="each row in a process of its own, which is ended after so many"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="narrow twins, one round")
    parser.add_argument("--json", type=Path, help="write the figures there")
    given = parser.parse_args()
    given.rounds = 1 if given.tiny else given.rounds
    given.rows = [read_row(parser, row) for row in (given.rows or EVERY).split(",")]
    check_device(given.device)
    check_offload(given.offload, given.device)
    half = "bfloat16" if given.device.startswith("cuda") and has_bfloat16(given.device) else default_dtype(given.device)
    given.dtype = given.dtype or half  # random weights may overflow float16, unlike a trained model's
    return given


def read_row(parser: argparse.ArgumentParser, text: str) -> Row:
    name, _, batch = text.partition(":")
    if name not in NETWORKS:
        parser.error(f"--rows: there is no {name}; there are {', '.join(NETWORKS)}")
    if not batch.isdecimal() or int(batch) < 1:
        parser.error(f"--rows: {text!r} is not model:batch, such as sdxl:4")
    return name, int(batch)


def main() -> int:
    given = parse()
    given.until = time.monotonic() + 60 * given.minutes
    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(given.device) if given.device.startswith("cuda") else given.device,
        "dtype": given.dtype,
        "torch": torch.__version__,
        "shapes": "twins" if given.tiny else "published",
        "offload": given.offload,
        "cudnn": torch.backends.cudnn.version(),
        **{section: [] for section in SECTIONS},
    }
    default = [section for section in SECTIONS if section != "tiles"]
    sections = [given.only] if given.only else default
    note = partial(measure, report, given)
    models = list(dict.fromkeys(name for name, _ in given.rows))
    if "kernels" in sections:  # if they are wrong, their cost in a drawing says little
        networks = {name: network(name) for name in models}
        widths = head_widths({"mini": load_model("mini", device="cpu", dtype="float32").network, **networks})
        for width in list(widths)[: 1 if given.tiny else None]:
            about = {"width": width, "models": widths[width]}
            note("kernels", about, partial(compare, given.device, given.dtype, width))
    if "after" in sections:  # which is quick
        for name, work in works(given.device, 16 if given.tiny else 64):
            note("after", {"what": name}, partial(measure_work, given.device, work, given.rounds))
    if "tiles" in sections:
        layers, tiles = ({"tiny": TINY}, TILES[:1]) if given.tiny else (LAYERS, TILES)
        if given.device.startswith("cuda"):
            compile_tiles(given.device, given.dtype, list(layers.values()), tiles)
        for name, layer in layers.items():
            note("tiles", {"model": name}, partial(tune, given.device, given.dtype, layer, tiles))
    if "drawing" in sections and given.apart:
        draw_apart(report, given)
    elif "drawing" in sections:
        draw(report, given)
    print(table(report))
    return int(any(row.get("failed") for section in SECTIONS for row in report[section]))


def draw(report: dict[str, Any], given: argparse.Namespace) -> None:
    """The families; a model is made once for all its batches."""
    made = 2 if given.tiny else 6
    with tempfile.TemporaryDirectory() as folder:
        model = lru_cache(1)(partial(prepared, given, Path(folder)))

        def row(name: str, batch: int) -> dict[str, Any]:
            return draw_row(model(name), batch, Path(folder), made=made, rounds=given.rounds)

        last = ""
        for name, batch in given.rows:
            if name != last:
                model.cache_clear()  # before another one needs its memory
            last = name
            measure(report, given, "drawing", {"model": name, "batch": batch}, partial(row, name, batch))


def draw_apart(report: dict[str, Any], given: argparse.Namespace) -> None:
    """The families, each row in a process of its own, so that one that fails or hangs costs no other its figures."""
    for name, batch in given.rows:
        if time.monotonic() > given.until:
            report["drawing"].append({"model": name, "batch": batch, "why": "no time left"})
            continue
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder) / "row.json"
            words = ["--rows", f"{name}:{batch}", "--only", "drawing", "--json", str(figures)]
            words += ["--device", given.device, "--dtype", given.dtype, "--offload", given.offload]
            words += ["--rounds", str(given.rounds)]
            words += ["--tiny"] * given.tiny
            why = "ended after its time"
            try:
                done = subprocess.run([sys.executable, __file__, *words], timeout=given.apart, check=False)
                why = f"exit status {done.returncode}"
            except subprocess.TimeoutExpired:
                pass
            rows = json.loads(figures.read_text())["drawing"] if figures.exists() else []
            report["drawing"] += rows or [{"model": name, "batch": batch, "why": why, "failed": True}]
        write(report, given)


def prepared(given: argparse.Namespace, folder: Path, name: str) -> Model:
    """The model called `name`, made on the device, or on the CPU if its parts are moved to the device when they run."""
    first = given.device if given.offload == "none" else "cpu"
    model = (twin if given.tiny else exact)(name, first, given.dtype, folder)
    move_to(model.pipe, given.device, given.offload)
    return replace(model, device=given.device, offload=given.offload)


def measure(report: dict[str, Any], given: argparse.Namespace, section: str, about: Any, work: Any) -> None:
    """Add a row with the figures of `work`, or `why` there are none, and `failed` unless time or memory was the
    reason."""
    found: dict[str, Any] = {"why": "no time left"}
    if time.monotonic() < given.until:
        try:
            found = work()
        except torch.OutOfMemoryError:
            found = {"why": "does not fit into memory"}
        except Exception as error:  # an error in one family must not cost the others' figures
            found = {"why": f"{type(error).__name__}: {error}".splitlines()[0], "failed": True}
    report[section].append({**about, **found})
    print(json.dumps(report[section][-1]), flush=True)
    write(report, given)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def write(report: dict[str, Any], given: argparse.Namespace) -> None:
    """Called after every row, so that a stopped run keeps its figures."""
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def table(report: dict[str, Any]) -> str:
    lines = [", ".join(f"{report[key]}" for key in ("device", "dtype", "torch", "cudnn", "shapes", "offload")), ""]
    columns = (
        "model | batch | steps | images/s plain | masks and files | plain step, ms | capture | floor |"
        " generate's maps | peak plain, GiB | capture"
    )
    lines.append(f"| {columns} |\n|---|" + "--:|" * columns.count("|"))
    for row in report["drawing"]:
        cells = [row["model"], row["batch"]]
        if "why" in row:
            cells.append(row["why"])
        else:
            cells += [row["steps"], *(f"{row['images_per_s'][way]:.3g}" for way in ("plain", "masks and files"))]
            cells.append(f"{1000 * row['step_s']['plain']:.1f}")
            figures = (row["ratio"]["capture"], row["floor"], row["ratio"]["generate's maps"])
            cells += [f"{figure:.3f}" for figure in figures]
            cells += [f"{row['peak_bytes'][way] / 2**30:.2f}" for way in ("plain", "capture")]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += ["", "| a photograph | ms |", "|---|--:|"]
    for row in report["after"]:
        lines.append(f"| {row['what']} | {row.get('why') or format(1000 * row['seconds'], '.3g')} |")
    lines += [
        "",
        "| kernels of capture, channels a head | models | largest difference from plain torch |",
        "|--:|---|--:|",
    ]
    for row in report["kernels"]:
        found = row.get("why") or f"{row['difference']:.1e}{', wrong' if row.get('failed') else ''}"
        lines.append(f"| {row['width']} | {', '.join(row['models'])} | {found} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
