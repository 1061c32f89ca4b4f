"""What a run would do, as `--dry-run` says it. Writes nothing and loads no model."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.base import GIVEN, RunConfig
from ..config.constants import CaptureConfig
from ..config.generate import GenerateConfig
from ..config.sizes import pixels
from ..files.messages import show_bytes
from ..files.places import free_bytes
from ..models.groups import layers_name
from ..models.hub import resolve_name
from ..models.info import model_info
from ..models.memory import Offload
from ..prompts.specs import sample_specs
from .model_files import check_files, check_loading, expected_capture, fitted_mask, untuned_line
from .place import look_into

if TYPE_CHECKING:
    from .loop import Engine  # imports torch

PROMPTS_SHOWN = 8
BYTES_PER_PIXEL = {"png": 1.9, "jpg": 0.7}
"""Of generated images; photographs of Stable Diffusion and scenes of `mini` lie within a third of it."""
MASK_BYTES_PER_PIXEL = 0.04
SOFT_BYTES_PER_PIXEL = 0.5


def describe(config: GenerateConfig, out: Path, offload: Offload = "none", engine: Engine | None = None) -> str:
    """The plan as text: prompts, counts, model, files and an estimate of their size. offload, engine: as in `generate`. Raises UserError
    where the run would at once."""
    device = config.device
    state, config = look_into(out, config)
    check_files(config)
    if state != "complete":
        check_loading(config, device, offload, engine)
    specs = sample_specs(config)
    counts = Counter(name for spec in specs for name in spec.classes)
    prompts = list(dict.fromkeys(spec.prompt for spec in specs))
    info = model_info(config.model)
    sides = info.sides() if info else None
    image_side, factor = sides or (512, 8)
    shape = pixels(config.size or image_side)
    assumed = " (assumed)" if sides is None and config.size is None else ""
    size = disk_estimate(config, len(specs), shape, factor)
    verb, batches = "continue" if state == "unfinished" else "make", len(config.batches(len(specs)))
    lines = [
        f"Would {verb}: {len(specs)} images of {shape[1]}×{shape[0]}{assumed} in {batches} batches of up to {config.batch_size}",
        f"Classes: {', '.join(f'{name} {counts[name]}' for name in config.classes)}",
        f"Prompts: {len(prompts)} different",
        *(f"  {prompt}" for prompt in prompts[:PROMPTS_SHOWN]),
        *(["  …"] if len(prompts) > PROMPTS_SHOWN else []),
        f"{model_line(config, offload)}, "
        f"{config.steps} steps, guidance {config.guidance_scale}, device {config.device or 'the best there is'}",
        f"Masks: {config.mask.method}, alpha {config.mask.alpha}, beta {config.mask.beta}, PAMR {'on' if config.mask.pamr else 'off'}",
        attention_line(config.capture),
        *([f"Capture: {expected}"] if (expected := expected_capture(config, (shape[0] // factor, shape[1] // factor))) else []),
        *(f"Levels: {note}" for note in fitted_mask(config)[1]),
        *untuned_line(config),
        *source_lines(config),
        f"Files in {out}: {', '.join(files(config))}",
        f"Disk: about {show_bytes(size)}; free there: {show_bytes(free_bytes(out))}",
    ]
    if state == "complete":
        lines.insert(0, f"{out} is complete already: nothing would be done.")
    return "\n".join(lines)


def model_line(config: RunConfig, offload: Offload) -> str:
    """Which model will be loaded, and how. Raises UserError for a name that is none."""
    source = resolve_name(config.model)
    where = "found" if isinstance(source, Path) else "fetched from the hub unless it is in the cache"
    if model_info(config.model) is None and not isinstance(source, Path):
        where = "not known: it is not on this machine, and the hub says nothing of it; the run would refuse what is not supported"
    given = [
        name if value is True else f"{name} {value}" for name, value in config.loading.items() if value is not None and value is not False
    ]
    return ", ".join([f"Model: {config.model} ({where})", *given, *([f"offload {offload}"] if offload != "none" else [])])


def source_lines(config: RunConfig) -> list[str]:
    """Where the values are from that are not the defaults, one line per source."""
    return [
        f"From {source}: {', '.join(names)}" if source != GIVEN else f"Given: {', '.join(names)}"
        for source, names in config.sources().items()
    ]


def attention_line(capture: CaptureConfig) -> str:
    """Which attention the masks will be made of."""
    steps = {"all": "all steps", "second-half": "the second half of the steps"}.get(str(capture.steps), f"one step in {capture.steps}")
    means = "maps divided by their maxima" if capture.normalize else "plain means"
    share = ", a word's share of the text alone" if capture.text_share == "text" else ""
    return f"Attention: {means}, {layers_name(capture.layers)}, {steps}{share}"


def files(config: GenerateConfig) -> list[str]:
    """What the dataset will hold."""
    names = [f"images/*.{config.image_format}", "masks/*.png"]
    names += ["soft/*.png"] * config.keep_soft + ["attention/*.safetensors"] * config.keep_attention
    return [
        *names,
        "metadata.jsonl",
        "classes.txt",
        "README.md",
        "seediff.toml",
        "preview.html",
        "steps/",
        *["rejected.jsonl"] * config.reject,
    ]


def disk_estimate(config: GenerateConfig, images: int, shape: tuple[int, int], factor: int) -> int:
    """Bytes of a dataset of `images` images of (height, width) pixels, `factor` of them a position of the latent's sides;
    attention is counted as four levels of a UNet and 77 tokens."""
    per_pixel = BYTES_PER_PIXEL[config.image_format] + MASK_BYTES_PER_PIXEL
    per_pixel += SOFT_BYTES_PER_PIXEL * sum(config.turns) / len(config.turns) * config.keep_soft
    positions = [math.prod(side // factor // divisor for side in shape) for divisor in (1, 2, 4, 8)]
    attention = 4 * sum(n * n + 77 * n for n in positions) * config.keep_attention
    return images * int(math.prod(shape) * per_pixel + 1200 + attention)
