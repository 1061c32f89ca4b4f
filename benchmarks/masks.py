"""Time and memory of everything after capture: PAMR and whole masks. Random maps, no model.

    python benchmarks/masks.py                      # about a minute and a half on two cores
    python benchmarks/masks.py --json masks.json    # the same figures for a program
    python benchmarks/masks.py --device cuda

The floor is the number of bytes that must move, divided by the bandwidth measured here. "original" is the arithmetic of
visinf/1-stage-wseg's PAMR, which copies every neighbourhood by dilated convolutions.
"""

from __future__ import annotations

from functools import partial

import timing
import torch
import torch.nn.functional as F

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.masks.make_masks import make_masks, soft_mask
from seediff.masks.pamr import PAPER_DILATIONS, affinity, pamr

ITERATIONS = 10


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--side", type=int, default=512, help="of the image; the latent's is an eighth")
    parser.add_argument("--classes", type=int, default=21, help="of the second PAMR measurement")
    parser.add_argument(
        "--slow-rounds", type=int, default=2, help="of the original's PAMR with several classes: half a minute each"
    )
    given = parser.parse_args()
    session = timing.Session.begin(given)
    with torch.inference_mode():
        bandwidth = session.bandwidth()
        measure_pamr(session, given.side, 1, given.rounds, bandwidth)
        measure_pamr(session, given.side, given.classes, given.slow_rounds, bandwidth)
        maps = random_maps(given.side // 8, session.device)
        measure_after_capture(session, maps, given.side)
    session.end(given)


def measure_pamr(session: timing.Session, side: int, classes: int, rounds: int, bandwidth: float) -> None:
    """PAMR against the original's arithmetic; results must be equal within 1e-5."""
    image, masks = scene(side, classes, session.device)

    def ours() -> torch.Tensor:
        weights = affinity(image.permute(2, 0, 1), PAPER_DILATIONS)
        return pamr(masks, weights, ITERATIONS, PAPER_DILATIONS)

    original = partial(original_pamr, image.permute(2, 0, 1)[None], masks[None])
    difference = float((ours() - original()[0]).abs().max())
    assert difference < 1e-5, f"PAMR differs from the original's arithmetic by {difference}"
    weights = 8 * len(PAPER_DILATIONS) * side * side * 4
    moved = weights * (1 + ITERATIONS) + 2 * masks.numel() * 4 * ITERATIONS
    session.compare(
        f"PAMR {side}², {classes} classes",
        {"original": original, "ours": ours},
        "ours",
        rounds=rounds,
        floor_s=moved / bandwidth,
        difference=difference,
        peak_mib=session.peak_mib(ours),
        original_peak_mib=session.peak_mib(original),
    )


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


def measure_after_capture(session: timing.Session, maps: AttentionMaps, side: int) -> None:
    """Whole masks of one class from captured maps: each method with PAMR, SeeDiff also without it, and SeeDiff's soft
    map alone.
    """
    image = (scene(side, 1, torch.device("cpu"))[0] * 255).byte().numpy()
    configs = {
        "seediff without PAMR": MaskConfig(pamr=False),
        "ca": MaskConfig(method="ca"),
        "ca_sa": MaskConfig(method="ca_sa"),
    }
    ways = {name: partial(make_masks, image, maps, ["dog"], config) for name, config in configs.items()}
    seediff = partial(make_masks, image, maps, ["dog"], MaskConfig())
    ways |= {"seediff": seediff, "seediff soft map": partial(soft_mask, maps, "dog", MaskConfig())}
    session.compare(f"after capture, {side}²", ways, "seediff", peak_mib=session.peak_mib(seediff))


def scene(side: int, classes: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth, noisy image (H, W, 3) whose values are multiples of 1/255, and random masks (C, H, W)."""
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


if __name__ == "__main__":
    main()
