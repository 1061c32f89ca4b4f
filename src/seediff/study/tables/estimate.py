"""What a table would cost: operations, hours, memory and disk, before anything is drawn or trained.

Operations are counted on the networks themselves, without weights (PyTorch's counter on the meta device); hours are operations over
what a device sustains. That is measured here with a network's usual work, or given with `--tflops`.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...config.augment import parse_addition, parse_recipe
from ...config.photographs import MaskPhotosConfig
from ...config.sizes import pixels as pixels_of
from ...config.train import TrainConfig
from ...errors import UserError, first_line
from ...files.documents import read_json
from ...files.messages import printable
from ...files.reading import SETTINGS
from .definition import Source, Table, used_data
from .drawn import SetConfig
from .relabel import YARDSTICK, labelling
from .sources import set_config
from .trained import Training, training_of

CAPTURE = 1.09
"""Drawing with capture over drawing without (docs/benchmarks.md: 1.085 at Stable Diffusion 2's shape)."""
BACKWARD = 3.0
"""A training step over a forward pass: the backward pass computes gradients of inputs and of weights."""
IMAGE_BYTES, MASK_BYTES = 1.5, 0.03
"""A pixel as PNG, both assumed: the embedded world's sets have 1.3 and 0.09; photographs have more, masks of larger images less."""
OPTIMISER_BYTES = 16
"""A trained parameter: weight, gradient and AdamW's two moments, in float32."""
STABLE_DIFFUSION = {"unet": 0.804e12, "decoder": 2.51e12, "parameters": 0.95e9, "side": 512, "latent": 64, "levels": (64, 32, 16, 8)}
"""Version 2-base and others of its shape at 512²: operations of one UNet call and of decoding, counted on its exact shape."""
CARD_TFLOPS = 60.0
"""What is assumed for one graphics card of the paper's kind (RTX 4090, 165 TFLOP/s of bfloat16 at best) where none is given."""


@dataclass(frozen=True)
class Cost:
    """One set to draw or one segmenter to train. operations: floating-point, in all. gib: of memory at least. disk: bytes."""

    what: str
    times: int
    operations: float
    gib: float
    disk: float


@dataclass(frozen=True)
class Estimate:
    """tflops: what is assumed to be sustained, and where that is from."""

    title: str
    costs: tuple[Cost, ...]
    tflops: float
    source: str

    def hours(self, operations: float) -> float:
        return operations / (self.tflops * 1e12) / 3600


def estimate(
    table: Table, seeds: Sequence[int], settings: Mapping[str, Any], *, tflops: float | None = None, device: str | None = None
) -> Estimate:
    """The cost of a table if nothing of it is there yet. device: what is measured where `tflops` does not say it; None: the best there is.
    Raises UserError for a table that could not be run."""
    if tflops is not None and not tflops > 0:
        raise UserError(f"--tflops {tflops}: must be above 0")
    full = any(set_shape(config)["side"] >= 512 for config in table.sets.values())
    if tflops:
        rate, source = tflops, "as given"
    elif full:
        rate, source = CARD_TFLOPS, "assumed for one RTX 4090"
    else:
        rate, source = sustained(device), "measured here"
    used = used_data(table.rows)
    sources = [table.data[name] for name in used]
    drawings = Counter(name for name, _ in {(source.set, set_config(source, table.sets).seed) for source in sources if source.set})
    costs = [replace(draw_cost(name, config), times=drawings[name]) for name, config in table.sets.items() if drawings[name]]
    costs += [mask_cost(name, table.data[name], table) for name in used if table.data[name].masks not in (None, YARDSTICK)]
    costs += [augment_cost(name, table.data[name], table) for name in used if table.data[name].augment]
    # A training that several rows share is done once a seed.
    firsts = [training_of(row, table, seeds[0], settings) for row in table.rows]
    parts = dict.fromkeys(part for one in firsts for part in ([one.base, one] if one.base else [one]))
    costs += [replace(train_cost(table, part), times=len(seeds)) for part in parts]
    return Estimate(table.title, tuple(costs), rate, source)


def draw_cost(name: str, config: SetConfig) -> Cost:
    """Drawing and labelling a set."""
    shape = set_shape(config)
    calls = config.steps * (2 if config.guidance_scale > 1 else 1)
    operations = config.images * (calls * shape["unet"] * CAPTURE + shape["decoder"])
    disk = config.images * image_pixels(config) * (IMAGE_BYTES + MASK_BYTES * len(config.labels))
    maps = sum(4 * (side**4 + side**2 * 77) for side in shape["levels"])  # float32, an image
    gib = (2 * shape["parameters"] + config.batch_size * maps) / 2**30
    return Cost(f"draw {config.images} images ({name}, {config.model}), {len(config.labels)} labellings", 1, operations, gib, disk)


def mask_cost(name: str, source: Source, table: Table) -> Cost:
    """Masking a source's images as photographs: a UNet call per noise level; encoding them is left out."""
    config, _ = labelling(str(source.masks), table.sets)
    shape, images = set_shape(config), sample_count(replace(source, augment=None))
    disk = images * image_pixels(config) * (IMAGE_BYTES + MASK_BYTES)
    return Cost(f"mask {name}: {images} images", 1, images * len(MaskPhotosConfig.timesteps) * shape["unet"] * CAPTURE, 0.0, disk)


def augment_cost(name: str, source: Source, table: Table) -> Cost:
    """The disk that a source's further images take; processors make them, in no time beside drawing."""
    images = sample_count(source) - sample_count(replace(source, augment=None))
    config = table.sets[source.set] if source.set else None
    pixels = image_pixels(config) if config else STABLE_DIFFUSION["side"] ** 2
    return Cost(f"augment {name}: {images} further images", 1, 0.0, 0.0, images * pixels * (IMAGE_BYTES + MASK_BYTES))


def sample_count(source: Source) -> int:
    """How many samples a source has, after augmentation. One without a count counts as a thousand; what is left out by its
    classes is not taken off."""
    count = source.count or 1000
    if source.surest is not None:
        count = max(1, round(source.surest * count))
    if source.augment is None:
        return count
    return count + sum(parse_addition(text).of(count) for text in parse_recipe(source.augment))


def train_cost(table: Table, part: Training) -> Cost:
    """One training, without the one that it goes on from."""
    samples = sum(sample_count(table.data[name]) for name in part.data)
    operations, parameters = network_cost(part.config)
    gib = parameters * OPTIMISER_BYTES / 2**30
    shown = samples * part.epochs if part.epochs is not None else (part.steps or 0) * part.config.batch_size
    length = f"{part.epochs:g} epochs" if part.epochs is not None else f"{part.steps} steps"
    begun = f"after {' + '.join(part.base.data)}" if part.base else part.config.weights
    what = f"train {part.config.backbone} ({begun}) on {' + '.join(part.data)}: {samples} samples, {length}"
    return Cost(what, 1, shown * operations * BACKWARD, gib, parameters * 4)


def image_pixels(config: SetConfig) -> int:
    """Of one image of a set."""
    return math.prod(pixels_of(config.size or set_shape(config)["side"]))


def set_shape(config: SetConfig) -> dict[str, Any]:
    """Operations and sizes of a set's model: counted on its own files where they are here, else Stable Diffusion's."""
    from ...models.registry import resolve_name

    folder = Path(resolve_name(config.model))
    return counted_shape(folder) if (folder / "unet" / "config.json").is_file() else STABLE_DIFFUSION


@lru_cache
def counted_shape(folder: Path) -> dict[str, Any]:
    """`STABLE_DIFFUSION`'s entries for a local pipeline folder. Raises UserError for configurations that describe none."""
    from ...models.registry import check_depth

    check_depth(folder, ("unet", "vae"))
    try:
        return _counted(folder)
    except UserError:
        raise
    except Exception as error:  # diffusers raises nearly anything for a configuration that is none
        why = printable(first_line(error))
        raise UserError(
            f"{folder}: its unet/config.json and vae/config.json do not describe networks that can be counted ({why})"
        ) from error


def read_config(folder: Path, part: str) -> dict[str, Any]:
    return read_json(folder / part / "config.json", dict[str, Any], limit=SETTINGS)


def _counted(folder: Path) -> dict[str, Any]:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(read_config(folder, "unet"))
        vae = AutoencoderKL.from_config(read_config(folder, "vae"))
        side, channels = unet.config.sample_size, unet.config.in_channels  # type: ignore[attr-defined]
        latent = torch.empty(1, channels, side, side)
        calls = operations(lambda: unet(latent, torch.empty(1), torch.empty(1, 77, unet.config.cross_attention_dim)))  # type: ignore[operator,attr-defined]
        decoding = operations(lambda: vae.decode(latent))  # type: ignore[attr-defined]
    parameters = sum(p.numel() for network in (unet, vae) for p in network.parameters())  # type: ignore[attr-defined]
    depth = len(unet.config.block_out_channels)  # type: ignore[attr-defined]
    scale = 2 ** (len(vae.config.block_out_channels) - 1)  # type: ignore[attr-defined]
    levels = tuple(side // 2**level for level in range(depth))
    return {"unet": calls, "decoder": decoding, "parameters": parameters, "side": side * scale, "latent": side, "levels": levels}


def network_cost(config: TrainConfig) -> tuple[float, int]:
    """Operations of a segmenter's forward pass of one image, and its number of parameters. Its weights are not needed."""
    from ...config.train import make_config

    shape = ("architecture", "backbone", "queries", "crop")
    return _network_cost(make_config({**{name: getattr(config, name) for name in shape}, "weights": "scratch"}))


@lru_cache
def _network_cost(config: TrainConfig) -> tuple[float, int]:
    import torch

    from ...train.models import build_network

    with torch.device("meta"):
        network = build_network(config, tuple(f"class {i}" for i in range(20))).to("meta").eval()  # type: ignore[arg-type]
        count = operations(lambda: network(torch.empty(1, 3, config.crop, config.crop)))
    return count, sum(p.numel() for p in network.parameters())


def operations(call: Any) -> float:
    """Floating-point operations of a call, of matrix products, convolutions and attention."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def sustained(device: str | None = None) -> float:
    """TFLOP/s of a 3 × 3 convolution on a device, by default this machine's best: the median of a few. Raises UserError without it."""
    import torch

    from ...devices import check_device, default_device

    device = check_device(device or default_device())
    image, kernel = torch.randn(8, 128, 32, 32, device=device), torch.randn(128, 128, 3, 3, device=device)
    seconds = []
    for _ in range(7):
        begun = time.perf_counter()
        torch.nn.functional.conv2d(image, kernel, padding=1)[0, 0, 0, 0].item()
        seconds.append(time.perf_counter() - begun)
    return 2 * image.numel() * kernel.shape[0] * 9 / sorted(seconds)[3] / 1e12


def show_estimate(found: Estimate) -> None:
    """The estimate as a table on the terminal."""
    from rich.table import Table as Shown
    from rich.text import Text

    from ...files.terminal import make_console

    shown = Shown("", "times", "PFLOP each", "hours each", "GiB at least", "disk, GB", title=found.title)
    for column in shown.columns[1:]:
        column.justify = "right"
    for cost in found.costs:
        hours = f"{found.hours(cost.operations):.2f}"
        shown.add_row(
            Text(cost.what),
            str(cost.times),
            f"{cost.operations / 1e15:.3g}",
            hours,
            f"{cost.gib:.1f}",
            f"{cost.disk * cost.times / 1e9:.2f}",
        )
    console = make_console()
    console.print(shown)
    hours = found.hours(sum(cost.operations * cost.times for cost in found.costs))
    disk = sum(cost.disk * cost.times for cost in found.costs) / 1e9
    console.print(
        f"In all {hours:,.1f} hours at {found.tflops:.3g} TFLOP/s ({found.source}; --tflops says another), {disk:,.1f} GB. "
        "Memory is that of weights, captured maps and the optimiser; activations come on top.",
        markup=False,
        soft_wrap=True,
    )
