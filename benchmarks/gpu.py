"""Speed and correctness on a GPU: every family at its published shape with random weights, the capture kernels, and the
work afterwards.

    python benchmarks/gpu.py gpu.jsonl --rows sd1.5:8,sd1.5:1,kernels --minutes 9
    python benchmarks/gpu.py gpu.jsonl --rows sdxl:1 --offload model
    python benchmarks/gpu.py gpu.jsonl --rows sd1.5:1 --tiny --device cpu     # a narrow twin: checks that it runs
    python benchmarks/gpu.py gpu.jsonl --rows ""                              # the table of what is in the file

A row is model:batch, or one of: kernels (against plain torch), after (masks and segments of a photograph), tiles (of
the kernels). `ten_minutes.sh` has the rows for a borrowed machine.

Nothing is downloaded. Each row is measured in a process of its own, and every figure is in the file, a line of JSON, as
soon as it is made: a row that fails, hangs or is killed costs no other's figures, and keeps its own so far. A row that
does not fit into memory or time says so. Pictures per second are for the family's default number of steps, computed
from a run of 6 steps and the time of a step within it. Pictures with masks and files are made by `generate`, which
captures only the maps that the masks read, and on a GPU makes masks and files during the next batch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the twins, whose text comes from recipes/
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # must be set before anything imports triton

from builders.published import NETWORKS, network  # pyright: ignore[reportMissingImports]
from on_gpu.drawing import draw_row
from on_gpu.figures import Figures, add, read, table
from on_gpu.fused import compare, head_widths
from on_gpu.pipelines import exact, twin
from on_gpu.segments_and_masks import measure_work, works
from on_gpu.tiles import LAYERS, TILES, TINY, price, tune

from seediff.devices import check_device, default_device, default_dtype, has_bfloat16
from seediff.models.registry import load_model
from seediff.models.saving_memory import Offload, check_offload, move_to

MODELS = (
    "sd1.5,sd2-base,sdxl,pixart-sigma,sd3.5-medium,flux-dev,flux2-dev,klein-4b,z-image-turbo,chroma,qwen-image,"
    "krea2-turbo,qwen-image-2.1"
)
"""The default models: one per family, and both Stable Diffusion 1 and 2."""
EVERY = ",".join(["kernels", "after", *(f"{name}:1,{name}:8" for name in MODELS.split(","))])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="figures are appended to it")
    parser.add_argument("--rows", default=EVERY, help="default: one per family at 1 and 8, kernels, after")
    parser.add_argument("--minutes", type=float, default=60, help="the last row is ended after so many")
    parser.add_argument("--seconds", type=float, default=600, help="each row is ended after so many")
    parser.add_argument("--device", default=default_device())
    parser.add_argument(
        "--dtype", choices=["float32", "float16", "bfloat16"], help="default: bfloat16 on a GPU that has it"
    )
    parser.add_argument("--offload", choices=get_args(Offload), default="none", help="of all rows; needs a GPU")
    parser.add_argument("--tiny", action="store_true", help="narrow twins, one round")
    parser.add_argument("--here", action="store_true", help="in this process; not for many rows")
    given = parser.parse_args()
    given.rounds = 1 if given.tiny else 3
    given.rows = [text for text in given.rows.split(",") if text]
    given.read = {text: read_row(parser, text) for text in given.rows}
    check_device(given.device)
    check_offload(given.offload, given.device)
    half = "bfloat16" if given.device.startswith("cuda") and has_bfloat16(given.device) else default_dtype(given.device)
    given.dtype = given.dtype or half  # random weights may overflow float16, unlike a trained model's
    return given


def read_row(parser: argparse.ArgumentParser, text: str) -> tuple[str, int]:
    """A model, or kernels, after or tiles; and the batch."""
    name, _, batch = text.partition(":")
    if text in OTHERS:
        return text, 1
    if name not in NETWORKS:
        parser.error(f"--rows: there is no {name}; there are {', '.join([*NETWORKS, *OTHERS])}")
    if not batch.isdecimal() or int(batch) < 1:
        parser.error(f"--rows: {text!r} is not model:batch, such as sdxl:4")
    return name, int(batch)


def main() -> int:
    given = parse()
    if given.here:
        for text in given.rows:
            measure(text, given)
        return 0
    until = time.monotonic() + 60 * given.minutes
    for text in given.rows:
        left = min(given.seconds, until - time.monotonic())
        if left < 1:
            add(given.file, text, {"why": "no time left"})
            continue
        words = [str(given.file), "--here", "--rows", text, "--device", given.device, "--dtype", given.dtype]
        words += ["--offload", given.offload, *["--tiny"] * given.tiny]
        try:
            status = subprocess.run([sys.executable, __file__, *words], timeout=left).returncode
        except subprocess.TimeoutExpired:
            add(given.file, text, {"why": f"ended after {left:.0f} s", "failed": True})
            continue
        if status:
            add(given.file, text, {"why": f"exit status {status}", "failed": True})
    rows = read(given.file)
    print(table(rows))
    return int(any(rows[text].get("failed") for text in given.rows))


def measure(text: str, given: argparse.Namespace) -> None:
    """Add a row's figures to the file, and `why` there are no more, with `failed` unless memory is the reason."""
    device = torch.cuda.get_device_name(given.device) if given.device.startswith("cuda") else given.device
    where = {"device": device, "dtype": given.dtype, "offload": given.offload}
    where |= {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}
    where["shapes"] = "twins" if given.tiny else "published"
    add(given.file, text, {"where": where})
    name, batch = given.read[text]
    try:
        for found in OTHERS.get(name, partial(draw, name, batch))(given):
            add(given.file, text, found)
    except torch.OutOfMemoryError:
        add(given.file, text, {"why": "does not fit into memory"})
    except Exception as error:
        traceback.print_exc()
        add(given.file, text, {"why": f"{type(error).__name__}: {error}".splitlines()[0], "failed": True})


def draw(name: str, batch: int, given: argparse.Namespace) -> Iterator[Figures]:
    """A model, made on the device, or on the CPU if its parts are moved to the device when they run."""
    first = given.device if given.offload == "none" else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        model = (twin if given.tiny else exact)(name, first, given.dtype, Path(folder))
        move_to(model.pipe, given.device, given.offload)
        model = replace(model, device=given.device, offload=given.offload)
        made = 2 if given.tiny else 6
        yield from draw_row(model, batch, Path(folder), made=made, rounds=given.rounds)


def kernels(given: argparse.Namespace) -> Iterator[Figures]:
    """If they are wrong, their cost in a drawing says little."""
    networks = {name: network(name) for name in MODELS.split(",")}
    widths = head_widths({"mini": load_model("mini", device="cpu", dtype="float32").network, **networks})
    failed = {}
    for width in list(widths)[: 1 if given.tiny else None]:
        found = compare(given.device, given.dtype, width)
        if found.pop("failed", False):
            failed = {"failed": True}
        yield {f"{width} channels": {"models": widths[width], **found}, **failed}
    if given.device.startswith("cuda"):
        for name, layer in LAYERS.items():
            yield {f"{name}, ms an addition": price(given.device, given.dtype, layer)}


def after(given: argparse.Namespace) -> Iterator[Figures]:
    for name, work in works(given.device, 16 if given.tiny else 64):
        yield {name: measure_work(given.device, work, given.rounds)}


def tiles(given: argparse.Namespace) -> Iterator[Figures]:
    layers, some = ({"tiny": TINY}, TILES[:1]) if given.tiny else (LAYERS, TILES)
    for name, layer in layers.items():
        yield {name: tune(given.device, given.dtype, layer, some)}


OTHERS = {"kernels": kernels, "after": after, "tiles": tiles}

if __name__ == "__main__":
    sys.exit(main())
