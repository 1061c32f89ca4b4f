"""What the classifier and the segmenter have in common: training scenes, augmentation, the training loop, files.

Both are measuring instruments: trained only on rendered scenes of the training split, never on anything that the
embedded model made, and small enough to ship with the package.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...devices import mixed_precision
from ...errors import UserError, first_line
from ...files.messages import printable
from ...files.outputs import write_tensors
from ...files.tensors import read_header
from ..world.pixels import to_pixels
from ..world.scene import Scene, render_scene

FOLDER = Path(__file__).parent
SCENE_SEED = 1000  # other scenes than the embedded model's, of the same split


@dataclass(frozen=True)
class YardstickRecipe:
    """How both are trained: about ten minutes each on one core."""

    scenes: int = 6_000
    samples: int = 36_000  # in all, drawn with replacement from the scenes
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0


class Block(nn.Sequential):
    """3 × 3 convolution, batch norm, SiLU: (B, in, R, R) → (B, out, R / stride, R / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU())


def training_scenes(art: Path, count: int, workers: int = 1, side: int = 128) -> list[Scene]:
    """`count` scenes of the training split, by seeds that the embedded model's training does not use."""
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(partial(_draw, art, side), range(count), chunksize=64))


def _draw(art: Path, side: int, index: int) -> Scene:
    return render_scene(art, index, seed=SCENE_SEED, side=side)


def augment(pixels: torch.Tensor, targets: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Flips, light and contrast, noise, and (a third of the images) blur: a generated image is softer than a rendered one.

    pixels (B, 3, H, W) in [-1, 1]; targets: label maps (B, H, W), which are flipped along, or what flips do not change (B, …).
    """
    size = (len(pixels), 1, 1, 1)
    flip = torch.rand(size, generator=generator) < 0.5
    if targets.ndim == 3:
        targets = torch.where(flip[:, 0], targets.flip(-1), targets)
    pixels = torch.where(flip, pixels.flip(-1), pixels)
    soft = F.interpolate(F.avg_pool2d(pixels, 2), scale_factor=2, mode="bilinear")
    pixels = torch.where(torch.rand(size, generator=generator) < 1 / 3, soft, pixels)
    gain = 0.85 + 0.3 * torch.rand(size, generator=generator)
    offset = 0.2 * torch.rand(size, generator=generator) - 0.1
    noise = 0.04 * torch.rand(size, generator=generator) * torch.randn(pixels.shape, generator=generator)
    return (pixels * gain + offset + noise).clamp(-1, 1), targets


def fit(
    network: nn.Module,
    images: np.ndarray,
    targets: torch.Tensor,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    recipe: YardstickRecipe,
    report: Callable[[dict], None],
    device: str = "cpu",
) -> nn.Module:
    """Train `network` on images (n, H, W, 3) uint8. `loss_of(output, targets of a batch)` is a scalar; targets: as `augment` takes them.
    One-cycle rate, AdamW, bfloat16 where the device has it."""
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps = max(1, recipe.samples // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps + 1, pct_start=0.1)
    running = None
    for step in range(steps):
        rng = np.random.default_rng((recipe.seed, step))
        picks = np.sort(rng.integers(len(images), size=recipe.batch))
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        pixels, wanted = augment(to_pixels(images[picks]), targets[picks], generator)
        with mixed_precision(device):
            output = network(pixels.to(device))
        loss = loss_of(output.float(), wanted.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if not math.isfinite(running):
            raise RuntimeError(f"{type(network).__name__}: the loss is {running} at step {step}; lower the learning rate")
        if step % 20 == 0 or step == steps - 1:
            report({"stage": type(network).__name__.lower(), "step": step + 1, "steps": steps, "loss": running})
    return network.to("cpu").eval()


def stacked(scenes: list[Scene]) -> tuple[np.ndarray, torch.Tensor]:
    """Images (n, H, W, 3) uint8 and label maps (n, H, W) uint8 of VOC ids."""
    return np.stack([s.image for s in scenes]), torch.from_numpy(np.stack([s.label_map for s in scenes]))


@torch.inference_mode()
def run_batched(network: nn.Module, images: np.ndarray, batch: int = 50) -> torch.Tensor:
    """The network's float32 output for images (n, H, W, 3) uint8, a batch at a time."""
    return torch.cat([network(to_pixels(images[i : i + batch])).float() for i in range(0, len(images), batch)])


def save_yardstick(network: nn.Module, path: Path, about: dict[str, str]) -> None:
    """Write the weights in half precision, with strings about them in the header. Atomic."""
    write_tensors(path, {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}, about)


def load_yardstick(network: nn.Module, path: Path) -> nn.Module:
    """Fill `network` with weights that `save_yardstick` wrote. Raises UserError when the file is missing or another network's."""
    about = type(network).__name__.lower()
    tensors = read_header(path, f"there is no trained {about}; `seediff mini yardsticks` trains it").load("pt")
    try:
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    except RuntimeError as error:
        why = printable(first_line(error))
        raise UserError(f"{path}: no trained {about} ({why}); `seediff mini yardsticks` trains it") from error
    return network.eval()
