"""The embedded model at work: images per second at batch 1, 8 and 32, and where the time goes.

    python benchmarks/mini.py                                  # needs a minute or so a batch size on two cores
    python benchmarks/mini.py --batches 1 8 --steps 10 --repeats 3 --json mini.json
    python benchmarks/mini.py --model runs/mini/pipeline --device cuda

In each round the same batch is drawn twice, without and with capture, in turning order, and then masked and written as
`seediff generate` does, with the model's recommended method. Medians over rounds. Shares are of a batch's whole time:

    unet      its forward passes, without capture
    capture   what drawing takes with capture, less what it takes without: noise can make it slightly negative
    vae       decoding to pixels
    other     text encoder, scheduler and what is between them
    masks     from attention to label maps
    writing   encoding and writing images, masks and the batch's record; steps and pages are written once a run, not here
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seediff.attention.generate import generate_batch
from seediff.attention.maps import AttentionMaps
from seediff.config.generate import GenerateConfig
from seediff.config.sizes import pixels
from seediff.dataset import native
from seediff.files.outputs import write_atomic
from seediff.files.places import check_writable
from seediff.masks.make import MaskResult, make_masks
from seediff.models.registry import Model, load_model
from seediff.prompts.specs import SampleSpec, sample_specs
from seediff.run.place import BatchRecord, Place

PARTS = ("unet", "capture", "vae", "other", "masks", "writing")
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}
Clock = Callable[[], float]


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


class Stopwatch:
    """Seconds by name. The device finishes its work before the clock is read, so no part pays for another's."""

    def __init__(self, device: str, clock: Clock) -> None:
        self.device, self.clock = device, clock
        self.seconds: dict[str, float] = {}

    def now(self) -> float:
        synchronize(self.device)
        return self.clock()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = self.now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - started

    @contextmanager
    def timing_calls(self, owner: Any, method: str, name: str) -> Iterator[None]:
        """Time every call of `owner.method` while the block runs."""
        original = getattr(owner, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.timed(name):
                return original(*args, **kwargs)

        setattr(owner, method, call)
        try:
            yield
        finally:
            delattr(owner, method)  # the class's own shows again


def draw_plain(model: Model, config: GenerateConfig, specs: list[SampleSpec]) -> None:
    """What `generate_batch` draws, without capture."""
    guidance = config.guidance_scale > 1
    height, width = pixels(config.size or model.image_side)
    model.pipe(
        [spec.prompt for spec in specs],
        height=height,
        width=width,
        num_inference_steps=config.steps,
        guidance_scale=config.guidance_scale,
        negative_prompt=[config.negative_prompt] * len(specs) if guidance else None,
        generator=[torch.Generator().manual_seed(spec.seed) for spec in specs],
        output_type="np",
    )


def draw_captured(model: Model, config: GenerateConfig, specs: list[SampleSpec]) -> tuple[list[np.ndarray], list[AttentionMaps]]:
    images, maps = generate_batch(
        model,
        specs,
        steps=config.steps,
        guidance_scale=config.guidance_scale,
        negative_prompt=config.negative_prompt,
        size=config.size,
        capture=config.capture,
    )
    return images, maps[config.capture.layers]


def write_batch(
    out: Path, number: int, config: GenerateConfig, specs: list[SampleSpec], images: list[np.ndarray], results: list[MaskResult]
) -> None:
    """The files of a batch and its record, as `seediff generate` commits them."""
    record = BatchRecord()
    for spec, image, result in zip(specs, images, results, strict=True):
        labels = native.dataset_labels(result.label_map, [config.classes.index(name) + 1 for name in spec.classes])
        record.write(out, native.image_path(spec.index, config.image_format), native.encode_image(image, config.image_format))
        record.write(out, native.mask_path(spec.index), native.encode_mask(labels))
        record.rows.append({"prompt": spec.prompt, "classes": list(spec.classes), "seed": spec.seed, "flags": list(result.flags)})
    Place(out).commit(number, record)


def measure_round(model: Model, config: GenerateConfig, specs: list[SampleSpec], out: Path, number: int, clock: Clock) -> dict[str, float]:
    """Part → seconds of one batch, and "plain" and "captured", the whole of drawing either way."""
    watch = Stopwatch(model.device, clock)

    def plain() -> None:
        with (
            watch.timing_calls(model.pipe.unet, "forward", "unet"),
            watch.timing_calls(model.pipe.vae, "decode", "vae"),
            watch.timed("plain"),
        ):
            draw_plain(model, config, specs)

    drawn: list[Any] = []

    def captured() -> None:
        with watch.timed("captured"):
            drawn.extend(draw_captured(model, config, specs))

    for draw in (plain, captured) if number % 2 else (captured, plain):
        draw()
    images, maps = drawn
    with watch.timed("masks"):
        results = [make_masks(i, m, s.classes, config.mask) for i, m, s in zip(images, maps, specs, strict=True)]
    with watch.timed("writing"):
        write_batch(out, number, config, specs, images, results)
    seconds = watch.seconds
    seconds["capture"] = seconds["captured"] - seconds["plain"]
    seconds["other"] = seconds["plain"] - seconds["unet"] - seconds["vae"]
    return seconds


def measure_batch(model: Model, config: GenerateConfig, batch: int, repeats: int, clock: Clock) -> dict[str, Any]:
    """Medians over rounds for one batch size."""
    specs = sample_specs(config)[:batch]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        Place(out).make_folders([native.IMAGES, native.MASKS])
        measure_round(model, config, specs[:1], out, 0, clock)  # warm-up
        rounds = [measure_round(model, config, specs, out, number, clock) for number in range(repeats)]
    wholes = [r["captured"] + r["masks"] + r["writing"] for r in rounds]
    shares = {part: statistics.median(r[part] / whole for r, whole in zip(rounds, wholes, strict=True)) for part in PARTS}
    after = [(r["masks"] + r["writing"]) / whole for r, whole in zip(rounds, wholes, strict=True)]
    ratios = [r["captured"] / r["plain"] for r in rounds]
    return {
        "batch": batch,
        "images_per_s": batch / statistics.median(wholes),
        "images_per_s_without_capture_and_masks": batch / statistics.median(r["plain"] for r in rounds),
        "seconds": {part: statistics.median(r[part] for r in rounds) for part in PARTS},
        "shares": shares,
        "masks_and_writing_share": statistics.median(after),
        "capture_ratio": {"median": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)},
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--steps", type=int, help="denoising steps; by default those that the model recommends")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", help="cuda, mps or cpu; the best there is by default")
    parser.add_argument("--threads", type=int, help="of the CPU; by default PyTorch's choice")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="process: CPU time, for a machine that is busy otherwise")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def main() -> None:
    given = parse()
    if given.json:
        check_writable(given.json.parent, given.json)
    if given.threads:
        torch.set_num_threads(given.threads)
    model = load_model(given.model, device=given.device)
    classes = model.known_classes or ("dog", "cat", "bus")
    chosen = {"steps": given.steps} if given.steps else {}
    config = GenerateConfig.recommended(
        classes=classes, model=given.model, per_class=-(-max(given.batches) // len(classes)), batch_size=max(given.batches), **chosen
    )
    report: dict[str, Any] = {
        "model": given.model,
        "device": torch.cuda.get_device_name(model.device) if model.device.startswith("cuda") else model.device,
        "dtype": model.dtype,
        "threads": torch.get_num_threads(),
        "clock": given.clock,
        "steps": config.steps,
        "guidance_scale": config.guidance_scale,
        "method": config.mask.method,
        "repeats": given.repeats,
    }
    print(", ".join(f"{name} {value}" for name, value in report.items()))
    print(f"{'batch':>5} {'images/s':>9} " + " ".join(f"{part:>8}" for part in PARTS) + "  masks + writing  capture ratio")
    report["batches"] = []
    for batch in given.batches:
        found = measure_batch(model, config, batch, given.repeats, CLOCKS[given.clock])
        report["batches"].append(found)
        shares = " ".join(f"{found['shares'][part]:8.1%}" for part in PARTS)
        ratio = found["capture_ratio"]
        spread = f"{ratio['median']:.3f} [{ratio['least']:.3f}, {ratio['greatest']:.3f}]"
        print(f"{batch:5} {found['images_per_s']:9.3f} {shares}  {found['masks_and_writing_share']:15.1%}  {spread}", flush=True)
    if given.json:
        write_atomic(given.json, (json.dumps(report, indent=2) + "\n").encode("utf-8"))


if __name__ == "__main__":
    main()
