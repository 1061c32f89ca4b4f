"""A case of same_bytes.py for each family of models: its narrow twin draws a picture within `capture`, and masks and
segments are made of the attention. Uses only names that `seediff` itself offers, so that it runs with the sources of
either tree.

    python benchmarks/same_bytes_families.py flux --out FOLDER      # needs twins/flux here python
    benchmarks/same_bytes_families.py --save twins           # saves the twins of all families; needs tests/ on the path
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

FAMILIES: dict[str, dict[str, Any]] = {
    **{one: {} for one in ("unet", "xl", "sd3", "flux", "chroma", "flux2", "flux2_klein", "z_image")},
    **{one: {} for one in ("krea2", "qwen_image_21")},
    "pixart": {"use_resolution_binning": False, "clean_caption": False},
    "qwen_image": {"true_cfg_scale": 3.0, "negative_prompt": "a bus"},
}
"""File of a family in models/families → what its pipeline is called with, besides the prompt and the size."""
WORDS = ("cat", "bus")
SIDES: dict[str, int] = dict.fromkeys(("unet", "xl"), 128)
"""Side in pixels of a picture, if not 64: 8 pixels are a position, and maps are at up to four sizes."""
PROMPT = "a photo of a cat and a bus"
KEPT: dict[str, dict[str, Any]] = {"maps": {}, "plain": {"normalize": False}, "chosen": {"keep": "ca"}}
"""File → how its maps are captured."""


def capture(name: str, out: Path) -> None:
    """Write the maps, heat maps, masks and segments of a picture that a family's twin draws."""
    import numpy as np
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    import seediff

    out.mkdir(parents=True, exist_ok=True)
    side = SIDES.get(name, 64)
    pipe = seediff.load_model(f"twins/{name}", device="cpu").pipe
    pipe.set_progress_bar_config(disable=True)

    def run(**options: Any) -> Any:
        torch.manual_seed(0)
        with seediff.capture(pipe, **options) as seen:
            noise = torch.Generator().manual_seed(1)
            pipe(prompt=PROMPT, height=side, width=side, num_inference_steps=2, generator=noise, **FAMILIES[name])
        return seen

    runs = {file: run(**options) for file, options in KEPT.items()}
    for file, seen in runs.items():
        seen.maps[0].save(out / f"{file}.safetensors")
    seen = runs["maps"]
    Image.fromarray(seen.images[0]).save(out / "image.png")
    for word in WORDS:
        seen.heatmap(word).save(out / f"{word}.png")
    seen.heatmap("bus").over().save(out / "bus.png")
    found = {"masks": seen.masks(*WORDS, method="seediff"), "segments": seen.segments(num_points=4)}
    tensors = {f"{case}.label_map": torch.as_tensor(np.asarray(one.label_map)) for case, one in found.items()}
    save_file({**tensors, "soft": torch.as_tensor(found["masks"].soft).contiguous()}, out / "masks.safetensors")


def save_twins(out: Path) -> None:
    """Save the twin of every family, by the name of its file."""
    from builders.reference_attention import BOOKS  # pyright: ignore[reportMissingImports]

    for name in FAMILIES:
        BOOKS[name].save(out / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", nargs="?", choices=list(FAMILIES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    save_twins(given.save) if given.save else capture(given.family, given.out)
