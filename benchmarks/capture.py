"""What capturing attention costs: time and memory of UNet steps, plain against captured, in interleaved runs.

    python benchmarks/capture.py --narrow --repeats 5            # a UNet of half of Stable Diffusion 2's width
    python benchmarks/capture.py --model sd2 --memory            # its exact shape; on a CPU a step takes many seconds
    python benchmarks/capture.py --model sd2 --batch 8 --device cuda --json capture.json

Weights are random, latents 64², batches `[unconditional; conditional]`. Ways that are compared:

    plain     the UNet alone
    capture   every map, each divided by its maximum (SeeDiff eq. 5), as with --keep-attention
    means     every map, plain means of probabilities
    seediff, ca, ca_sa   the maps that this method reads at its paper's constants, as commands capture them
    kept      the published programs' way: eager attention everywhere, every head's probabilities of every step in a list

In each round every way runs once, in turning order, and is divided by the plain run of the same round: what else the machine
does hits both. The floor is the arithmetic that no capture of dense maps can avoid: one more QKᵀ of the conditional half.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sd_shapes import UNETS

from seediff.attention.capture import capture_attention
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.levels import EVERYTHING, maps_read
from seediff.models.families.unet import attention_layers

READS = {
    "capture": EVERYTHING,
    "means": EVERYTHING,
    **{method: maps_read(MaskConfig(method=method)) for method in ("seediff", "ca", "ca_sa")},
}
WAYS = ("plain", *READS, "kept")
TOKENS = 77
NARROW = {"block_out_channels": (160, 320, 640, 640), "cross_attention_dim": 512}
STEPS_AN_IMAGE = 50
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


class KeepEverything:
    """Eager attention as the published programs have it."""

    def __init__(self, kept: list[torch.Tensor]) -> None:
        self.kept = kept

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (attn.head_to_batch_dim(x) for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)))
        probabilities = attn.get_attention_scores(query, key)
        self.kept.append(probabilities[len(probabilities) // 2 :].clone())
        return attn.to_out[1](attn.to_out[0](attn.batch_to_head_dim(probabilities @ value)))


def build_unet(narrow: bool, device: str, dtype: torch.dtype) -> Any:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.utils import logging

    logging.set_verbosity_error()

    torch.manual_seed(0)
    config = UNETS["sd2-base"] | (NARROW if narrow else {})
    unet: Any = UNet2DConditionModel(**config)
    return unet.to(device=device, dtype=dtype).eval()


def unet_call(unet: Any, batch: int) -> Callable[[], None]:
    """One step of a batch of images under guidance."""
    side = unet.config.sample_size
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2 * batch, 4, side, side, generator=generator).to(unet.device, unet.dtype)
    context = torch.randn(2 * batch, TOKENS, unet.config.cross_attention_dim, generator=generator).to(unet.device, unet.dtype)

    timestep = torch.tensor(500, device=unet.device)

    def call() -> None:
        unet(latents, timestep, encoder_hidden_states=context)

    return call


def run_way(way: str, unet: Any, call: Callable[[], None], steps: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of that many steps, by that clock."""
    found = dict(unet.attn_processors)
    kept: list[torch.Tensor] = []
    if way == "kept":
        unet.set_attn_processor({key: KeepEverything(kept) for key in found})
    synchronize(unet.device)
    started = clock()
    if way in READS:
        with capture_attention(unet, CaptureConfig(normalize=way != "means"), guidance=True, reads=READS[way]) as recorder:
            for _ in range(steps):
                call()
        images = recorder.images or 0
        recorder.maps([{}] * images, [""] * images)
    else:
        for _ in range(steps):
            call()
    synchronize(unet.device)
    seconds = clock() - started
    unet.set_attn_processor(found)
    return seconds


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def measure_times(
    unet: Any, batch: int, ways: list[str], repeats: int, steps: int, clock: Callable[[], float]
) -> dict[str, dict[str, float]]:
    """Way → median seconds per step, images per second (UNet only), median, least and greatest ratio to plain."""
    call = unet_call(unet, batch)
    for way in ways:
        run_way(way, unet, call, 1)  # warm-up
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(repeats):
        order = ways[turn % len(ways) :] + ways[: turn % len(ways)]
        for way in order:
            seconds[way].append(run_way(way, unet, call, steps, clock) / steps)
    figures = {}
    for way in ways:
        ratios = [a / b for a, b in zip(seconds[way], seconds["plain"], strict=True)]
        median = statistics.median(seconds[way])
        figures[way] = {"step_s": median, "images_per_s": batch / (median * STEPS_AN_IMAGE)}
        figures[way] |= {"ratio": statistics.median(ratios), "ratio_least": min(ratios), "ratio_greatest": max(ratios)}
    return figures


def floor_share(narrow: bool, batch: int) -> dict[str, float]:
    """FLOPs of a plain step, counted on shapes alone, and the share of one more QKᵀ of the conditional half."""
    from diffusers.models.attention_processor import AttnProcessor
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        unet = build_unet(narrow, "meta", torch.float32)
        unet.set_attn_processor(AttnProcessor())  # its matrix products are counted, fused attention's are not
        side = unet.config.sample_size
        latents, context = torch.empty(2 * batch, 4, side, side), torch.empty(2 * batch, TOKENS, unet.config.cross_attention_dim)
        products: list[int] = []
        for attention in attention_layers(unet).values():
            attention.to_q.register_forward_hook(lambda *hook: products.append(2 * batch * hook[-1].shape[1] * hook[-1].shape[2]))
            attention.to_k.register_forward_hook(lambda *hook: products.append(products.pop() * hook[-1].shape[1]))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            unet(latents, torch.tensor(500), encoder_hidden_states=context)
    return {"step_gflop": counter.get_total_flops() / 1e9, "floor_share": sum(products) / counter.get_total_flops()}


def peak_mib(way: str, options: argparse.Namespace, steps: int) -> float:
    """Peak memory of that many steps in a process of its own (cpu: resident set; cuda: allocated)."""
    command = [sys.executable, __file__, "--peak-of", way, "--steps", str(steps), "--batch", str(options.batch)]
    command += ["--device", options.device, "--dtype", options.dtype, "--threads", str(options.threads)]
    command += ["--narrow"] if options.narrow else []
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(way: str, options: argparse.Namespace) -> None:
    unet = build_unet(options.narrow, options.device, getattr(torch, options.dtype))
    run_way(way, unet, unet_call(unet, options.batch), options.steps)
    if options.device.startswith("cuda"):
        print(torch.cuda.max_memory_allocated(options.device) / 2**20)
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(peak / (2**20 if sys.platform == "darwin" else 2**10))


def parse() -> argparse.Namespace:
    from seediff.devices import default_device, default_dtype

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", choices=["sd2"], default="sd2", help="shape of the UNet")
    parser.add_argument("--narrow", action="store_true", help="half of its width")
    parser.add_argument("--batch", type=int, default=1, help="images; the UNet sees twice as many")
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1, help="UNet calls a run")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: as many as there are cores")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall", help="process: CPU time, for a machine that is busy otherwise")
    parser.add_argument("--ways", default=",".join(WAYS), help="which to run; plain is always among them")
    parser.add_argument("--memory", action="store_true", help="measure peak memory, too, each way in a process of its own")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--peak-of", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.dtype = options.dtype or default_dtype(options.device)
    return options


@torch.no_grad()
def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.peak_of:
        print_peak(options.peak_of, options)
        return

    ways = ["plain", *(way for way in options.ways.split(",") if way != "plain")]
    figures: dict[str, Any] = {
        "model": options.model + (" narrow" if options.narrow else ""),
        "device": options.device,
        "dtype": options.dtype,
    }
    figures |= {"batch": options.batch, "threads": torch.get_num_threads(), "clock": options.clock} | floor_share(
        options.narrow, options.batch
    )
    if options.repeats:
        unet = build_unet(options.narrow, options.device, getattr(torch, options.dtype))
        figures["ways"] = measure_times(unet, options.batch, ways, options.repeats, options.steps, CLOCKS[options.clock])
        del unet
    if options.memory:
        peaks = {way: {steps: peak_mib(way, options, steps) for steps in (1, 3)} for way in ways}
        figures["memory_mib"] = {way: {steps: peak - peaks["plain"][steps] for steps, peak in by.items()} for way, by in peaks.items()}

    print(f"{figures['model']}, {options.dtype} on {options.device}, batch {options.batch}: {figures['step_gflop']:.0f} GFLOP a step")
    print(f"floor (one more QKᵀ of the conditional half): {1 + figures['floor_share']:.3f}")
    for way, of in figures.get("ways", {}).items():
        spread = f"[{of['ratio_least']:.3f}, {of['ratio_greatest']:.3f}]"
        speed = f"{of['step_s']:8.3f} s a step  {of['images_per_s']:.4f} images/s of {STEPS_AN_IMAGE} steps"
        print(f"{way:8} {speed}  ratio {of['ratio']:.3f} {spread}")
    for way, of in figures.get("memory_mib", {}).items():
        print(f"{way:8} " + ", ".join(f"{peak:+.0f} MiB over plain after {steps} step{'s' * (steps > 1)}" for steps, peak in of.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
