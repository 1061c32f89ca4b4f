"""Time and memory of everything after capture: PAMR, means of seed rows, whole masks. Random maps, no model.

    PYTHONPATH=src python benchmarks/masks.py                      # about a minute and a half on two cores
    PYTHONPATH=src python benchmarks/masks.py --json masks.json    # the same figures for a program
    PYTHONPATH=src python benchmarks/masks.py --device cuda

Variants run in turn, one after the other within each repeat, so that a busy machine slows both sides of a ratio alike; a ratio
is the median over repeats, with the smallest and the largest. The floor is the bytes that must move, over the bandwidth
measured here. "original" is the arithmetic of visinf/1-stage-wseg's PAMR: every neighbourhood copied by dilated convolutions.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.masks.make import make_masks, soft_mask
from seediff.masks.pamr import PAPER_DILATIONS, pamr
from seediff.masks.seediff import expand

MIB = 2**20
ITERATIONS = 10
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "process": time.process_time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="PyTorch's threads (default: its own choice)")
    parser.add_argument("--side", type=int, default=512, help="of the image; the latent's is an eighth")
    parser.add_argument("--classes", type=int, default=21, help="of the second PAMR measurement")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--slow-repeats", type=int, default=2, help="of the original's PAMR with several classes: half a minute each")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="process: CPU time, for a machine that is busy otherwise")
    parser.add_argument("--generation-seconds", type=float, help="time of one image's generation, to state shares of it")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    device, clock = torch.device(given.device), CLOCKS[given.clock]

    report: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else given.device,
        "threads": torch.get_num_threads(),
        "clock": given.clock,
        "torch": torch.__version__,
        "side": given.side,
        "bandwidth_gib_s": bandwidth(device, clock),
    }
    print(", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in report.items()))
    with torch.inference_mode():
        report["pamr"] = [
            measure_pamr(given.side, classes, repeats, device, clock, report["bandwidth_gib_s"])
            for classes, repeats in ((1, given.repeats), (given.classes, given.slow_repeats))
        ]
        maps = random_maps(given.side // 8, device)
        report["seed_rows"] = [
            measure_seed_rows(maps, share, given.repeats, clock, report["bandwidth_gib_s"]) for share in (0.01, 0.1, 0.5, 0.95)
        ]
        report["after_capture"] = measure_after_capture(maps, given.side, given.repeats, clock, given.generation_seconds)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measure_pamr(side: int, classes: int, repeats: int, device: torch.device, clock: Clock, gib_s: float) -> dict[str, Any]:
    """PAMR against the original's arithmetic, equal within 1e-5."""
    image, masks = scene(side, classes, device)
    ours = partial(pamr, image, masks, iterations=ITERATIONS, dilations=PAPER_DILATIONS)
    original = partial(original_pamr, image.permute(2, 0, 1)[None], masks[None])
    expected, original_peak = peak(original, device)
    found_here, our_peak = peak(ours, device)
    difference = float((found_here - expected[0]).abs().max())
    assert difference < 1e-5, f"PAMR differs from the original's arithmetic by {difference}"
    times = interleave({"original": original, "ours": ours}, repeats, device, clock)
    weights = 8 * len(PAPER_DILATIONS) * side * side * 4
    moved = weights * (1 + ITERATIONS) + 2 * masks.numel() * 4 * ITERATIONS
    found = {
        "classes": classes,
        **medians(times),
        **ratio(times["original"], times["ours"]),
        "difference": difference,
        "floor_s": moved / 2**30 / gib_s,
        "multiply_adds": masks.numel() * 8 * len(PAPER_DILATIONS) * ITERATIONS,
        "peak_mib": {"ours": our_peak, "original": original_peak},
    }
    print(
        f"PAMR {side}², {classes} class{'es' if classes > 1 else ''}: original {found['original_s']:.3f} s, ours {found['ours_s']:.3f} s, "
        f"{shown(found)}; differs by {difference:.1e}; peak {mib(our_peak)} against {mib(original_peak)}; "
        f"floor {found['floor_s']:.3f} s ({moved / MIB:.0f} MiB to move), {found['multiply_adds'] / 1e9:.2f} G multiply-adds"
    )
    return found


def original_pamr(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The original's arithmetic: image (1, 3, H, W), mask (1, C, H, W), the paper's dilations and iterations."""
    pick = torch.eye(9, device=image.device).view(9, 1, 3, 3)
    neighbours = pick[[0, 1, 2, 3, 5, 6, 7, 8]]
    differences = pick[4] - neighbours

    def unfold(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.shape
        x = x.reshape(batch * channels, 1, height, width)
        copies = [F.conv2d(F.pad(x, [d] * 4, mode="replicate"), kernel, dilation=d) for d in PAPER_DILATIONS]
        return torch.cat(copies, 1).view(batch, channels, -1, height, width)

    deviation = unfold(image, pick).std(2, keepdim=True)
    logits = -unfold(image, differences).abs() / (1e-8 + 0.1 * deviation)
    weights = logits.mean(1, keepdim=True).softmax(2)
    for _ in range(ITERATIONS):
        mask = (unfold(mask, neighbours) * weights).sum(2)
    return mask


def measure_seed_rows(maps: AttentionMaps, share: float, repeats: int, clock: Clock, gib_s: float) -> dict[str, Any]:
    """Mean of the seeds' rows of the largest self-attention against gathering them first, and against a full product."""
    attention = maps.self_at(1)
    seeds = torch.rand(maps.latent_size, device=attention.device) < share
    count = int(seeds.sum())

    def gather() -> torch.Tensor:
        return attention[seeds.flatten()].mean(0)

    def product() -> torch.Tensor:
        return (seeds.flatten().float() / count) @ attention

    assert float((expand(attention, seeds).flatten() - gather()).abs().max()) < 1e-5
    times = interleave(
        {"gather": gather, "product": product, "ours": partial(expand, attention, seeds)}, 3 * repeats, attention.device, clock
    )
    moved = count * attention.shape[1] * 4
    found = {
        "seeds": count,
        "positions": attention.shape[0],
        **medians(times),
        **ratio(times["gather"], times["ours"]),
        "floor_s": moved / 2**30 / gib_s,
    }
    print(
        f"mean of {count} of {attention.shape[0]} rows: gather + mean {found['gather_s'] * 1e3:.2f} ms, full product "
        f"{found['product_s'] * 1e3:.2f} ms, ours {found['ours_s'] * 1e3:.2f} ms, {shown(found)} over gathering; "
        f"floor {found['floor_s'] * 1e3:.2f} ms"
    )
    return found


def measure_after_capture(maps: AttentionMaps, side: int, repeats: int, clock: Clock, generation: float | None) -> dict[str, Any]:
    """Whole masks of one class from captured maps: each method with PAMR, SeeDiff without, and its soft map alone."""
    device = maps.self_at(1).device
    image = (scene(side, 1, torch.device("cpu"))[0] * 255).byte().numpy()
    variants: dict[str, Callable[[], Any]] = {
        "seediff": partial(make_masks, image, maps, ["dog"], MaskConfig()),
        "seediff without PAMR": partial(make_masks, image, maps, ["dog"], MaskConfig(pamr=False)),
        "seediff soft map": partial(soft_mask, maps, "dog", MaskConfig()),
        "ca": partial(make_masks, image, maps, ["dog"], MaskConfig(method="ca")),
        "ca_sa": partial(make_masks, image, maps, ["dog"], MaskConfig(method="ca_sa")),
    }
    times = interleave(variants, repeats, device, clock)
    found: dict[str, Any] = {name: {"median_s": statistics.median(t), "min_s": min(t), "max_s": max(t)} for name, t in times.items()}
    for name, figures in found.items():
        share = f", {figures['median_s'] / generation:.2%} of generation" if generation else ""
        print(
            f"after capture, {side}² (L = {maps.latent_size[0]}): {name} {figures['median_s'] * 1e3:.1f} ms "
            f"[{figures['min_s'] * 1e3:.1f}–{figures['max_s'] * 1e3:.1f}]{share}"
        )
    found["peak_mib"] = peak(variants["seediff"], device)[1]
    found["generation_s"] = generation
    print(
        f"after capture: seediff's peak {mib(found['peak_mib'])}; within 2 % of a generation that takes "
        f"{found['seediff']['median_s'] / 0.02:.1f} s or more"
    )
    return found


def scene(side: int, classes: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (H, W, 3) on the grid of uint8, smooth with noise, and random masks (C, H, W)."""
    smooth = F.interpolate(torch.rand(1, 3, 16, 16), (side, side), mode="bicubic")[0].permute(1, 2, 0)
    image = ((smooth + 0.03 * torch.randn(side, side, 3)).clamp(0, 1) * 255).round() / 255
    masks = F.interpolate(torch.rand(1, classes, 32, 32), (side, side), mode="bilinear")[0]
    return image.to(device), masks.to(device)


def random_maps(latent_side: int, device: torch.device) -> AttentionMaps:
    """Maps in which nearby positions attend to each other, divided by their maxima, with a blob for the class."""
    self_attention, cross_attention = {}, {}
    for side in (latent_side, latent_side // 2, latent_side // 4):
        grid = torch.arange(side, device=device).float() / side
        position = torch.cartesian_prod(grid, grid)
        rows = (torch.randn(side**2, side**2, device=device) - 20 * torch.cdist(position, position)).softmax(1)
        blob = torch.exp(-20 * (position - 0.4).square().sum(1)) + 0.1 * torch.rand(side**2, device=device)
        self_attention[side, side] = rows / rows.max()
        cross_attention[side, side] = torch.stack([torch.rand_like(blob), blob / blob.max()], 1)
    return AttentionMaps(self_attention, cross_attention, (latent_side, latent_side), {"dog": (1,)}, "dog")


def interleave(variants: dict[str, Callable[[], Any]], repeats: int, device: torch.device, clock: Clock) -> dict[str, list[float]]:
    """Seconds of every run of every variant, the variants in turn within each repeat."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(repeats):
        for name, run in variants.items():
            wait(device)
            start = clock()
            run()
            wait(device)
            times[name].append(clock() - start)
    return times


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def bandwidth(device: torch.device, clock: Clock) -> float:
    """GiB/s of the fastest of several copies of 256 MiB, bytes read and written both counted."""
    source = torch.ones(256 * MIB // 4, device=device)
    target = torch.empty_like(source)
    times = interleave({"copy": lambda: target.copy_(source)}, 7, device, clock)["copy"]
    return 2 * 0.25 / min(times)


def peak(run: Callable[[], Any], device: torch.device) -> tuple[Any, float | None]:
    """The result of `run`, and the MiB that it held at most over what was held before: on CUDA by its allocator, on a CPU by
    the kernel's own record (Linux), else None."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = run()
        return result, (torch.cuda.max_memory_allocated(device) - before) / MIB
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if device.type != "cpu" or not reset.exists():
        return run(), None

    def held(field: str) -> float:
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) / 1024

    ctypes.CDLL(None).malloc_trim(0)  # or freed memory that the allocator kept would hide what is taken
    before = held("VmRSS")
    reset.write_text("5")  # the peak starts anew
    result = run()
    return result, held("VmHWM") - before


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {f"{name}_s": statistics.median(t) for name, t in times.items()}


def ratio(slow: list[float], fast: list[float]) -> dict[str, Any]:
    """Median, smallest and largest of the ratios within a repeat."""
    ratios = np.divide(slow, fast)
    return {"ratio": float(np.median(ratios)), "ratio_range": [float(ratios.min()), float(ratios.max())]}


def shown(found: dict[str, Any]) -> str:
    low, high = found["ratio_range"]
    return f"{found['ratio']:.1f}× [{low:.1f}–{high:.1f}]"


def mib(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} MiB"


if __name__ == "__main__":
    main()
