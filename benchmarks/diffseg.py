"""Time and memory of everything after the UNet call that makes segments of a photograph. Synthetic attention, no model.

    PYTHONPATH=src python benchmarks/diffseg.py --threads 1                              # about two minutes on a free core
    PYTHONPATH=src python benchmarks/diffseg.py --threads 1 --clock process --json diffseg.json   # on a busy machine
    PYTHONPATH=src python benchmarks/diffseg.py --device cuda

Variants run in turn within each round, so that a busy machine slows both sides of a ratio alike; a ratio is the median over
rounds, with the smallest and the largest. What ours is compared with:

    one by one         aggregation of the 16 layers' maps, each upsampled, normalised, tiled and added by itself: the original's steps
    one by one, tuned  the same without upsampling maps of side L and without copying tiles
    blocked broadcast  merging with divergences as a broadcast over pairs in blocks that fit a cache, logarithms taken once
    original           merging with google/diffseg's arithmetic: divergences of the first round (`DiffSeg.KL`) as a broadcast over all
                       pairs, logarithms inside, in float16 as there and in float32, timed on a few anchors and scaled to all;
                       means and later rounds in float64

Floors are bytes over the copying speed, or multiplications over the speed of a large product, both measured here.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from masks import CLOCKS, MIB, Clock, bandwidth, interleave, medians, mib, peak, ratio, shown

from seediff.segments.aggregate import aggregate
from seediff.segments.diffseg import anchor_positions, diffseg, merge, proposals, refined
from seediff.segments.divergence import closer_than
from seediff.segments.kmeans import kmeans
from seediff.segments.suppression import label

LAYERS = (5, 5, 5, 1)
"""Self-attention layers at L, L/2, L/4, L/8 of Stable Diffusion 1 and 2."""

POINTS, ROUNDS = 16, 3
ORIGINAL_ANCHORS = 4
BLOCK = 2**17
"""Elements of one block of the blocked broadcast (512 KiB): the fastest here."""

Maps = dict[tuple[int, int], torch.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="PyTorch's threads (default: its own choice)")
    parser.add_argument("--side", type=int, default=64, help="of the latents; the image's is eight times that")
    parser.add_argument("--threshold", type=float, default=1.0, help="τ of all three rounds; the default leaves some ten segments here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=2, help="of the original's arithmetic")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="process: CPU time, for a machine that is busy otherwise")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    device, clock = torch.device(given.device), CLOCKS[given.clock]

    with torch.inference_mode():
        maps = attention(given.side, device)
        memory = peak(partial(everything, maps, given.side, given.threshold, refine=True), device)[1]  # first, in a fresh process
        report: dict[str, Any] = {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else given.device,
            "threads": torch.get_num_threads(),
            "clock": given.clock,
            "torch": torch.__version__,
            "side": given.side,
            "bandwidth_gib_s": bandwidth(device, clock),
            "gflop_s": product_speed(device, clock),
        }
        print(", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in report.items()))
        rows = aggregate(maps, (given.side, given.side))
        report["aggregation"] = measure_aggregation(maps, given.side, given.rounds, clock, report["bandwidth_gib_s"])
        report["merging"] = measure_merging(rows, given.threshold, given.rounds, given.slow_rounds, clock, report["gflop_s"])
        report["kmeans"] = measure_kmeans(rows, given.threshold, given.rounds, clock, report["bandwidth_gib_s"])
        report["photograph"] = measure_photograph(maps, given.side, given.threshold, given.rounds, clock)
        report["photograph"]["peak_mib"] = memory
        print(f"peak memory of all that, refinement included: {mib(memory)} above the captured maps")
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measure_aggregation(maps: Maps, side: int, rounds: int, clock: Clock, gib_s: float) -> dict[str, Any]:
    """Ours, from the means that capture holds, and with the averaging of 16 maps counted too, against one map after the other."""
    layers = [(at, maps[at, at].clone()) for (at, _), count in zip(maps, LAYERS, strict=True) for _ in range(count)]
    slow, tuned = partial(one_by_one, layers, side), partial(one_by_one_tuned, layers, side)
    fast = partial(aggregate, maps, (side, side))

    def averaged() -> torch.Tensor:
        means: Maps = {}
        counts = dict(zip((at for at, _ in maps), LAYERS, strict=True))
        for at, layer in layers:
            if (at, at) in means:
                means[at, at].add_(layer, alpha=1 / counts[at])
            else:
                means[at, at] = layer / counts[at]
        return aggregate(means, (side, side))

    difference = max(float((run() - fast()).abs().max()) for run in (slow, tuned))
    assert difference < 1e-5, f"aggregation differs from the plain one by {difference}"
    variants = {"one by one": slow, "one by one, tuned": tuned, "ours": fast, "averaging and ours": averaged}
    times = interleave(variants, rounds, maps[side, side].device, clock)
    moved = 4 * (sum(m.numel() for m in maps.values()) + side**4)
    found = {
        **medians(times),
        **ratio(times["one by one"], times["ours"]),
        "over_tuned": ratio(times["one by one, tuned"], times["ours"]),
        "with_averaging": ratio(times["one by one"], times["averaging and ours"]),
        "difference": difference,
        "floor_s": moved / 2**30 / gib_s,
    }
    print(
        f"aggregation: one by one {found['one by one_s']:.3f} s, ours {found['ours_s']:.3f} s, {shown(found)}; tuned "
        f"{found['one by one, tuned_s']:.3f} s, {shown(found['over_tuned'])}; with the averaging of {len(layers)} maps counted to ours "
        f"{found['averaging and ours_s']:.3f} s, {shown(found['with_averaging'])}; differs by {difference:.1e}; "
        f"floor {found['floor_s']:.3f} s ({moved / MIB:.0f} MiB to move)"
    )
    return found


def one_by_one(layers: list[tuple[int, torch.Tensor]], side: int) -> torch.Tensor:
    """The original's `aggregate_weights` on each layer by itself, with the same weights."""
    total = torch.zeros(side**2, side**2, device=layers[0][1].device)
    for (at, layer), share in zip(layers, layer_shares(layers), strict=True):
        upsampled = F.interpolate(layer.view(1, -1, at, at), (side, side), mode="bilinear")[0].view(at, at, -1)
        upsampled = upsampled / upsampled.sum(2, keepdim=True)
        tile = side // at
        total += share * upsampled.repeat_interleave(tile, 0).repeat_interleave(tile, 1).view(side**2, -1)
    return total


def one_by_one_tuned(layers: list[tuple[int, torch.Tensor]], side: int) -> torch.Tensor:
    total = torch.zeros(side**2, side**2, device=layers[0][1].device)
    for (at, layer), share in zip(layers, layer_shares(layers), strict=True):
        tile = side // at
        maps = layer.view(1, -1, at, at)
        upsampled = maps if tile == 1 else F.interpolate(maps, (side, side), mode="bilinear")
        upsampled = upsampled.reshape(at, at, -1)
        upsampled = upsampled * (share / upsampled.sum(2, keepdim=True))
        total.view(at, tile, at, tile, -1).add_(upsampled[:, None, :, None])
    return total


def layer_shares(layers: list[tuple[int, torch.Tensor]]) -> list[float]:
    """Each layer's weight: its side's share, divided among the layers of that side."""
    sides = [at for at, _ in layers]
    return [at / sum(set(sides)) / sides.count(at) for at in sides]


def measure_merging(rows: torch.Tensor, threshold: float, rounds: int, slow_rounds: int, clock: Clock, gflop_s: float) -> dict[str, Any]:
    """All three rounds of merging, ours against the blocked broadcast; the first round's divergences against the original's."""
    device = rows.device
    size = square_of(rows)
    ours, blocked = partial(proposals, rows, size, POINTS, [threshold] * ROUNDS), partial(blocked_proposals, rows, threshold)
    mine, theirs = ours(), blocked()
    difference = float((mine - theirs).abs().max()) if mine.shape == theirs.shape else float("inf")
    times = interleave({"blocked broadcast": blocked, "ours": ours}, rounds, device, clock)
    anchors = rows[anchor_positions(size, POINTS).to(device)]
    few = anchors[:: len(anchors) // ORIGINAL_ANCHORS]
    scale = len(anchors) / len(few)
    slow = {f"original {kind}": partial(original_kl, few.to(kind), rows.to(kind)) for kind in (torch.float16, torch.float32)}
    members, precise = closer_than(anchors, rows, threshold), rows.double()
    later = partial(original_later, precise, members, threshold)
    slow_times = interleave({**slow, "later": later, "ours": ours}, slow_rounds, device, clock)
    plain = {name: [scale * t + rest for t, rest in zip(slow_times[name], slow_times["later"], strict=True)] for name in slow}
    exact = closer_than(few, rows, threshold)
    flipped = {name: float(((run() < threshold) != exact).sum() / exact.sum()) for name, run in slow.items()}
    multiplied = 2 * len(anchors) * len(rows) ** 2
    found = {
        "proposals": len(mine),
        **medians(times),
        **ratio(times["blocked broadcast"], times["ours"]),
        "difference": difference,
        "original": {
            name: {"scaled_s": statistics.median(t), **ratio(t, slow_times["ours"]), "flipped_of_matched": flipped[name]}
            for name, t in plain.items()
        },
        "original_anchors": len(few),
        "original_later_s": statistics.median(slow_times["later"]),
        "floor_s": 2 * multiplied / 1e9 / gflop_s,
    }
    print(
        f"merging to {len(mine)} proposals: blocked broadcast {found['blocked broadcast_s']:.3f} s, ours {found['ours_s']:.3f} s, "
        f"{shown(found)}; proposals differ by {difference:.1e}; floor {found['floor_s']:.3f} s (2 × {multiplied / 1e9:.1f} GFLOP for "
        f"divergences)"
    )
    for name, figures in found["original"].items():
        print(
            f"  {name}: {figures['scaled_s']:.1f} s for {len(anchors)} anchors (timed on {len(few)}), {shown(figures)}; decisions that "
            f"differ from ours: {figures['flipped_of_matched']:.2%} of the matches"
        )
    return found


def square_of(rows: torch.Tensor) -> tuple[int, int]:
    """(h, w) of the square that rows (h·w, h·w) are of."""
    side = round(len(rows) ** 0.5)
    return side, side


def blocked_proposals(rows: torch.Tensor, threshold: float) -> torch.Tensor:
    """The same merging in float32 with broadcast divergences and BLAS's means."""
    anchors = rows[anchor_positions(square_of(rows), POINTS).to(rows.device)]
    members = (blocked_kl(anchors, rows) < threshold).float()
    found = (members @ rows) / members.sum(1, keepdim=True)
    for _ in range(1, ROUNDS):
        closer = blocked_kl(found, found) < threshold
        absorbed, merged = torch.zeros_like(closer[0]), []
        for index, near in enumerate(closer):
            if not absorbed[index]:
                absorbed |= near
                merged.append(found[near].mean(0))
        found = torch.stack(merged)
    return found


def blocked_kl(anchors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """`½ Σ (p − q)(log p − log q)` of all pairs, one anchor and a block of rows at a time."""
    anchor_logs, logs = anchors.log(), rows.log()
    step = max(1, BLOCK // rows.shape[1])
    blocks = [
        torch.stack([((anchor - band) * (log - band_logs)).sum(1) for anchor, log in zip(anchors, anchor_logs, strict=True)])
        for band, band_logs in zip(rows.split(step), logs.split(step), strict=True)
    ]
    return torch.cat(blocks, 1) / 2


def original_kl(anchors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The original's arithmetic (google/diffseg, MIT): every pair and position at once, in the precision of its inputs."""
    x, y = anchors[:, None], rows[None]
    quotient = x.log() - y.log()
    return (x * quotient).sum(2) / 2 - (y * quotient).sum(2) / 2


def original_later(rows: torch.Tensor, members: torch.Tensor, threshold: float) -> torch.Tensor:
    """The original's means of the first round and its later rounds, in float64."""
    members = members.double()
    found = (members @ rows) / members.sum(1, keepdim=True)
    for _ in range(1, ROUNDS):
        absorbed, merged = torch.zeros(len(found), dtype=torch.bool, device=rows.device), []
        for index, one in enumerate(found):
            if not absorbed[index]:
                near = original_kl(one[None], found)[0] < threshold
                absorbed |= near
                merged.append(found[near].mean(0))
        found = torch.stack(merged)
    return found


def measure_kmeans(rows: torch.Tensor, threshold: float, rounds: int, clock: Clock, gib_s: float) -> dict[str, Any]:
    """K-Means-C with k = 6 and with k = 20, and the refinement of the proposals, against merging."""
    side = math.isqrt(len(rows))
    merged = partial(proposals, rows, (side, side), POINTS, [threshold] * ROUNDS)
    found_proposals = merged()
    variants: dict[str, Callable[[], Any]] = {
        "merging": merged,
        "k = 6": partial(kmeans, rows, 6, seed=0),
        "k = 20": partial(kmeans, rows, 20, seed=0),
        f"refinement ({len(found_proposals)})": partial(refined, rows, found_proposals),
    }
    times = interleave(variants, rounds, rows.device, clock)
    merging = times.pop("merging")
    found: dict[str, Any] = {"merging_s": statistics.median(merging), "floor_of_an_iteration_s": 4 * rows.numel() / 2**30 / gib_s}
    for name, of_variant in times.items():
        found[name] = {"median_s": statistics.median(of_variant), **ratio(of_variant, merging)}
        print(f"K-Means, {name}: {found[name]['median_s']:.3f} s, {shown(found[name])} of merging's time ({found['merging_s']:.3f} s)")
    print(f"  floor {found['floor_of_an_iteration_s'] * 1e3:.1f} ms an iteration ({4 * rows.numel() / MIB:.0f} MiB to read)")
    return found


def measure_photograph(maps: Maps, side: int, threshold: float, rounds: int, clock: Clock) -> dict[str, Any]:
    """From captured maps to the label map at the image's size, and its parts."""
    rows = aggregate(maps, (side, side))
    first = closer_than(rows[anchor_positions((side, side), POINTS).to(rows.device)], rows, threshold)
    found_proposals = proposals(rows, (side, side), POINTS, [threshold] * ROUNDS)
    variants: dict[str, Callable[[], Any]] = {
        "everything": partial(everything, maps, side, threshold, refine=False),
        "everything, refined": partial(everything, maps, side, threshold, refine=True),
        "aggregation": partial(aggregate, maps, (side, side)),
        "merging": partial(proposals, rows, (side, side), POINTS, [threshold] * ROUNDS),
        "its later rounds": partial(merge, proposals(rows, (side, side), POINTS, [threshold]), threshold),
        "suppression": partial(label, found_proposals.view(-1, side, side), (8 * side, 8 * side)),
    }
    times = interleave(variants, rounds, rows.device, clock)
    found: dict[str, Any] = {name: {"median_s": statistics.median(t), "min_s": min(t), "max_s": max(t)} for name, t in times.items()}
    found["density"] = float(first.float().mean())
    print(f"a photograph, {8 * side}² (L = {side}), {len(found_proposals)} proposals, {found['density']:.1%} of first-round pairs match:")
    for name, figures in found.items():
        if isinstance(figures, dict):
            print(f"  {name:20s} {figures['median_s']:.3f} s [{figures['min_s']:.3f}–{figures['max_s']:.3f}]")
    return found


def everything(maps: Maps, side: int, threshold: float, *, refine: bool) -> torch.Tensor:
    rows = aggregate(maps, (side, side))
    return label(diffseg(rows, num_points=POINTS, kl_thresholds=[threshold] * ROUNDS, refine=refine), (8 * side, 8 * side))


def attention(latent_side: int, device: torch.device) -> Maps:
    """{(h, w): (h·w, h·w)} at L, L/2, L/4, L/8: positions attend to those of like colour nearby, in a smooth picture with noise."""
    torch.manual_seed(0)
    picture = F.interpolate(torch.rand(1, 3, 4, 4), (latent_side, latent_side), mode="bicubic")
    maps = {}
    for level in range(len(LAYERS)):
        side = latent_side >> level
        colour = F.interpolate(picture, (side, side), mode="area")[0].flatten(1).T
        line = torch.linspace(0, 1, side)
        feature = torch.cat([6 * colour, 2 * torch.cartesian_prod(line, line)], 1) + 0.15 * torch.randn(side**2, 5)
        scores = -1.5 * torch.cdist(feature, feature).square()
        maps[side, side] = (0.9 * scores.softmax(1) + 0.1 / side**2).to(device)
    return maps


def product_speed(device: torch.device, clock: Clock) -> float:
    """GFLOP/s of the fastest of several float32 products of 1024²."""
    square = torch.rand(1024, 1024, device=device)
    times = interleave({"product": lambda: square @ square}, 9, device, clock)["product"]
    return 2 * 1024**3 / 1e9 / min(times)


if __name__ == "__main__":
    main()
