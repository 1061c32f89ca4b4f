"""Time and memory of dividing a photograph into segments, from the captured attention on. Synthetic attention, no
model.

    python benchmarks/diffseg.py --threads 1                              # about two minutes on a free core
    python benchmarks/diffseg.py --threads 1 --clock process --json diffseg.json   # on a busy machine
    python benchmarks/diffseg.py --device cuda

SeeDiff's functions ("ours") are compared with:

    one by one  the original's aggregation: each of the 16 layers' maps is upsampled, normalised, tiled and added
    separately original    only the divergences of the first round (`DiffSeg.KL` of google/diffseg): a broadcast over
    all pairs with the
                logarithms inside, in float16 as in the original and in float32, timed on a few anchors and scaled to
                all

Floors are bytes divided by copying speed, or operations divided by the speed of a large matrix product; both speeds are
measured here.
"""

from __future__ import annotations

from functools import partial

import timing
import torch
import torch.nn.functional as F

from seediff.segments.aggregate import aggregate
from seediff.segments.diffseg import anchor_positions, diffseg, proposals, refine_segments
from seediff.segments.kmeans import kmeans
from seediff.segments.tiles import label

LAYERS = (5, 5, 5, 1)
"""Numbers of self-attention layers at L, L/2, L/4 and L/8 in Stable Diffusion 1 and 2."""

POINTS, ROUNDS = 16, 3
ORIGINAL_ANCHORS = 4

Maps = dict[tuple[int, int], torch.Tensor]


def main() -> None:
    parser = timing.parser(__doc__, rounds=5)
    parser.add_argument("--side", type=int, default=64, help="of the latent; the image's is 8 times as large")
    parser.add_argument("--threshold", type=float, default=1.1, help="of every round of merging")
    parser.add_argument("--slow-rounds", type=int, default=2, help="of the original's arithmetic")
    given = parser.parse_args()
    session = timing.Session.begin(given)
    thresholds = [given.threshold] * ROUNDS
    with torch.inference_mode():
        maps = attention(given.side, session.device)
        refined_peak = session.peak_mib(
            partial(everything, maps, given.side, thresholds, refine=True)
        )  # first, while the process is fresh
        bandwidth, speed = session.bandwidth(), session.product_speed()
        measure_aggregation(session, maps, given.side, bandwidth)
        rows = aggregate(maps, (given.side, given.side))
        measure_merging(session, rows, given.threshold, given.slow_rounds, speed)
        merged = partial(proposals, rows, square_of(rows), POINTS, thresholds)
        ways = {
            "merging": merged,
            "K-Means, k = 6": partial(kmeans, rows, 6, seed=0),
            "K-Means, k = 20": partial(kmeans, rows, 20, seed=0),
            "refinement": partial(refine_segments, rows, merged()),
        }
        session.compare("K-Means", ways, "merging", floor_s=4 * rows.numel() / bandwidth)
        ways = {
            "everything": partial(everything, maps, given.side, thresholds, refine=False),
            "everything, refined": partial(everything, maps, given.side, thresholds, refine=True),
            "suppression": partial(label, merged().view(-1, given.side, given.side), (8 * given.side, 8 * given.side)),
        }
        session.compare(f"a photograph of {8 * given.side}²", ways, "everything", peak_mib=refined_peak)
    session.end(given)


def measure_aggregation(session: timing.Session, maps: Maps, side: int, bandwidth: float) -> None:
    """Aggregation of the means that capture holds, the same with the averaging of the 16 maps included, and of one map
    after another.
    """
    counts = dict(zip(maps, LAYERS, strict=True))
    layers = [(size[0], maps[size].clone()) for size, count in counts.items() for _ in range(count)]

    def averaged() -> torch.Tensor:
        means: Maps = {}
        for at, layer in layers:
            if (at, at) in means:
                means[at, at].add_(layer, alpha=1 / counts[at, at])
            else:
                means[at, at] = layer / counts[at, at]
        return aggregate(means, (side, side))

    ways = {
        "one by one": partial(one_by_one, layers, side),
        "averaging and ours": averaged,
        "ours": partial(aggregate, maps, (side, side)),
    }
    expected = ways["ours"]()
    difference = max(float((run() - expected).abs().max()) for run in ways.values())
    assert difference < 1e-5, f"aggregation differs from the plain one by {difference}"
    moved = 4 * (sum(m.numel() for m in maps.values()) + side**4)
    session.compare("aggregation", ways, "ours", floor_s=moved / bandwidth, difference=difference)


def one_by_one(layers: list[tuple[int, torch.Tensor]], side: int) -> torch.Tensor:
    """The original's `aggregate_weights`, layer by layer, with the same weights."""
    total = torch.zeros(side**2, side**2, device=layers[0][1].device)
    for (at, layer), share in zip(layers, layer_shares(layers), strict=True):
        upsampled = F.interpolate(layer.view(1, -1, at, at), (side, side), mode="bilinear")[0].view(at, at, -1)
        upsampled = upsampled / upsampled.sum(2, keepdim=True)
        tile = side // at
        total += share * upsampled.repeat_interleave(tile, 0).repeat_interleave(tile, 1).view(side**2, -1)
    return total


def layer_shares(layers: list[tuple[int, torch.Tensor]]) -> list[float]:
    """The weight of each layer: the share of its side, divided among all layers of that side."""
    sides = [at for at, _ in layers]
    return [at / sum(set(sides)) / sides.count(at) for at in sides]


def measure_merging(
    session: timing.Session, rows: torch.Tensor, threshold: float, slow_rounds: int, speed: float
) -> None:
    """All three rounds of merging, against only the first round's divergences as the original computes them."""
    ours = partial(proposals, rows, square_of(rows), POINTS, [threshold] * ROUNDS)
    anchors = rows[anchor_positions(square_of(rows), POINTS).to(rows.device)]
    few = anchors[:: len(anchors) // ORIGINAL_ANCHORS]
    kinds = {"original, float16": torch.float16, "original, float32": torch.float32}
    slow = {name: partial(original_kl, few.to(kind), rows.to(kind)) for name, kind in kinds.items()}
    scale = dict.fromkeys(slow, len(anchors) / len(few))
    floor = 4 * len(anchors) * len(rows) ** 2 / speed
    title = f"merging to {len(ours())} proposals"
    session.compare(title, {**slow, "ours": ours}, "ours", rounds=slow_rounds, scale=scale, floor_s=floor)


def square_of(rows: torch.Tensor) -> tuple[int, int]:
    """(h, w) of a square grid, from its rows (h·w, h·w)."""
    side = round(len(rows) ** 0.5)
    return side, side


def original_kl(anchors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The original's arithmetic (google/diffseg, MIT): all pairs and positions at once, in the precision of the
    inputs.
    """
    x, y = anchors[:, None], rows[None]
    quotient = x.log() - y.log()
    return (x * quotient).sum(2) / 2 - (y * quotient).sum(2) / 2


def everything(maps: Maps, side: int, thresholds: list[float], *, refine: bool) -> torch.Tensor:
    rows = aggregate(maps, (side, side))
    return label(diffseg(rows, num_points=POINTS, kl_thresholds=thresholds, refine=refine), (8 * side, 8 * side))


def attention(latent_side: int, device: torch.device) -> Maps:
    """{(h, w): (h·w, h·w)} at L, L/2, L/4 and L/8: in a smooth noisy picture, positions attend to nearby positions of
    similar colour.
    """
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


if __name__ == "__main__":
    main()
