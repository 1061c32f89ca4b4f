"""Class names in, a labelled dataset out: images from a diffusion model, masks from its attention.

    import seediff

    config = seediff.GenerateConfig(classes=("dog", "cat"), per_class=20, mask=seediff.MaskConfig(beta=0.4))
    result = seediff.generate(config, "pets")               # killed? the same line continues
    print(result.made, "images in", result.out)
    for sample in seediff.Dataset.open("pets"):             # of any format; filter, merge, split, export, as_torch
        sample.image                                        # (H, W, 3) uint8
        sample.label_map                                    # (H, W) uint8: 0 background, 1 dog, 2 cat, 255 ignore
        sample.metadata["prompt"], sample.metadata["flags"]

These names are for everyday use; everything else comes from its module (docs/architecture.md). They are imported when
they are first used: `import seediff` takes a moment, torch takes seconds. Type checkers and `__getattr__` read them in
__init__.pyi.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from .version import __version__ as __version__


@cache
def _homes() -> dict[str, tuple[str, str]]:
    """Public name → its module, and its name there."""
    text = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = re.findall(r"^from (\S+) import (\w+) as (\w+)", text, re.M)
    return {public: (module, name) for module, name, public in imports}


def __getattr__(name: str) -> Any:
    if name not in _homes():
        raise AttributeError(f"module 'seediff' has no attribute '{name}'")
    module, there = _homes()[name]
    return getattr(import_module(module, __name__), there)


def __dir__() -> list[str]:
    return ["__version__", *_homes()]
