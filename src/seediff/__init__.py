"""Classes in, a labelled dataset out: images from a diffusion model, masks from its attention.

    import seediff

    config = seediff.GenerateConfig(classes=("dog", "cat"), per_class=20, mask=seediff.MaskConfig(beta=0.4))
    result = seediff.generate(config, "pets")               # killed? the same line continues
    print(result.made, "images in", result.out)
    for sample in seediff.read_dataset("pets"):
        sample.image                                        # (H, W, 3) uint8
        sample.label_map                                    # (H, W) uint8: 0 background, 1 dog, 2 cat, 255 ignore
        sample.metadata["prompt"], sample.metadata["flags"]

Names are imported when they are first used: `import seediff` takes a moment, torch takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "AttentionMaps": "types",
    "CaptureConfig": "config",
    "GenerateConfig": "run_config",
    "MaskConfig": "config",
    "Sample": "types",
    "UserError": "errors",
    "capture_attention": "capture",
    "generate": "run",
    "load_model": "models.registry",
    "make_masks": "masks",
    "read_dataset": "dataset.native",
}

__all__ = [
    "AttentionMaps",
    "CaptureConfig",
    "GenerateConfig",
    "MaskConfig",
    "Sample",
    "UserError",
    "capture_attention",
    "generate",
    "load_model",
    "make_masks",
    "read_dataset",
]

if TYPE_CHECKING:
    from .capture import capture_attention
    from .config import CaptureConfig, MaskConfig
    from .dataset.native import read_dataset
    from .errors import UserError
    from .masks import make_masks
    from .models.registry import load_model
    from .run import generate
    from .run_config import GenerateConfig
    from .types import AttentionMaps, Sample


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seediff' has no attribute '{name}'")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
