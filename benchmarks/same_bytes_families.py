"""A case of same_bytes.py for each family of models: its narrow twin draws a picture within `capture`, and masks and
segments are made of the attention. Uses only names that `seediff` itself offers, so that it runs with the sources of
either tree.

    python benchmarks/same_bytes_families.py flux --out FOLDER      # needs twins/flux here python
    benchmarks/same_bytes_families.py --save twins           # saves the twins of all families; needs tests/ on the path
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

TRUE_GUIDANCE = {"true_cfg_scale": 3.0, "negative_prompt": "a bus"}
UNCHANGED = {"use_resolution_binning": False, "clean_caption": False}
FAMILIES: dict[str, dict[str, Any]] = {
    **{
        name: {}
        for name in ("unet", "lcm", "xl", "sd3", "flux", "chroma", "flux2", "flux2_klein", "lumina2", "z_image")
    },
    "pixart": UNCHANGED,
    "sana": UNCHANGED,
    "qwen_image": TRUE_GUIDANCE,
    "ernie_image": {"use_pe": False},
}
"""File of a family in models/families → what its pipeline is called with, besides the prompt and the size."""
WITHOUT_SELF_ATTENTION = ("sana",)
WORDS = ("cat", "bus")
SIDES: dict[str, int] = dict.fromkeys(("unet", "lcm", "xl"), 128)
"""Side in pixels of a picture, if not 64: 8 pixels are a position, and maps are at up to four sizes."""
PROMPT = "a photo of a cat and a bus"
SEEDIFF = {"method": "seediff", "pamr": False}
MASKS: dict[str, dict[str, Any]] = {
    "caa": {**SEEDIFF, "expansion": "none", "background": False},
    "cre": {**SEEDIFF, "expansion": "parallel", "background": False},
    "ire": {**SEEDIFF, "expansion": "iterative", "background": False},
    "seediff": SEEDIFF,
    "seediff-pamr": {"method": "seediff"},
    "compete": {**SEEDIFF, "compete": True, "alpha": 0.4},
    "otsu": {**SEEDIFF, "beta": "otsu"},
    "band": {"method": "seediff", "ignore_band": (0.3, 0.6), "pamr_iterations": 3, "pamr_dilations": (1, 2)},
    **{name: {"method": name} for name in ("ca", "ca_sa", "diffsegmenter", "fa_seg", "iseg_walk", "nerve_walk")},
    "ca_sa-squared": {"method": "ca_sa", "tau": 2, "pamr": False},
}
"""Of maps that were divided by their maxima, as SeeDiff's."""
PLAIN = {name: {"method": name} for name in ("reference", "daam", "ca_sa", "fa_seg")}
"""Of plain means."""
SEGMENTS: dict[str, dict[str, Any]] = {
    "diffseg": {"num_points": 4},
    "diffseg-refine": {"num_points": 4, "kl_threshold": (0.9, 0.5), "refine": True, "weights": "uniform"},
    "kmeans": {"method": "kmeans", "k": 3},
}


def capture(name: str, out: Path) -> None:
    """Write the maps, heat maps, masks and segments of a picture that a family's twin draws."""
    import numpy as np
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    import seediff

    with suppress(ImportError):  # in older trees all methods are the package's
        import recipes.methods  # noqa: F401

    out.mkdir(parents=True, exist_ok=True)
    side = SIDES.get(name, 64)
    pipe = seediff.load_model(f"twins/{name}", device="cpu").pipe
    pipe.set_progress_bar_config(disable=True)
    said: dict[str, Any] = {}
    tensors: dict[str, torch.Tensor] = {}

    def keep(case: str, make: Callable[[], Any]) -> None:
        """Keep what a case makes, or the message of its refusal."""
        try:
            made = make()
        except seediff.UserError as error:
            said[case] = str(error)
            return
        for part in ("label_map", "soft", "values"):
            if getattr(made, part, None) is not None:
                tensors[f"{case}.{part}"] = torch.as_tensor(np.asarray(getattr(made, part))).contiguous()
        said[case] = list(getattr(made, "flags", ()))

    def run(normalize: bool, **more: Any) -> Any:
        torch.manual_seed(0)
        with seediff.capture(pipe, normalize=normalize, **more) as seen:
            noise = torch.Generator().manual_seed(1)
            pipe(prompt=PROMPT, height=side, width=side, num_inference_steps=2, generator=noise, **FAMILIES[name])
        return seen

    seen, plain = run(True), run(False)
    (maps,) = seen.maps
    maps.save(out / "maps.safetensors")
    plain.maps[0].save(out / "plain.safetensors")
    run(True, keep="segments" if name not in WITHOUT_SELF_ATTENTION else "ca").maps[0].save(out / "chosen.safetensors")
    image = seen.images[0]
    Image.fromarray(image).save(out / "picture.png")
    for word in WORDS:
        seen.heatmap(word).save(out / f"{word}.png", over=word == "bus")
        keep(f"heatmap.{word}", lambda word=word: seen.heatmap(word))
    for case, config in MASKS.items():
        keep(f"captured.{case}", lambda config=config: seen.masks(*WORDS, **config))
    for case, config in PLAIN.items():
        keep(f"captured.plain.{case}", lambda config=config: plain.masks(*WORDS, **config))
    for case, config in SEGMENTS.items():
        keep(f"segments.{case}", lambda config=config: seen.segments(**config))
    # From files, with levels that the maps have; words are then found in the file.
    for file, configs in (("maps", MASKS), ("plain", PLAIN)):
        stored = seediff.AttentionMaps.load(out / f"{file}.safetensors")
        levels = tuple(sorted({stored.level(grid) for grid in stored.cross_attention}, reverse=True))
        fitted = {"seed_level": levels[len(levels) // 2], "self_level": levels[-1], "expand_levels": levels}
        for case, config in configs.items():
            config = seediff.MaskConfig(**{**fitted, **config})
            keep(
                f"stored.{file}.{case}",
                lambda stored=stored, config=config: seediff.make_masks(image, stored, WORDS, config),
            )
    save_file(tensors, out / "masks.safetensors")
    (out / "flags.json").write_text(json.dumps(said, indent=1), encoding="utf-8")


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
