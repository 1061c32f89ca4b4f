"""Rendered training scenes on disk: a memory-mapped array of images and a list of captions, rendered once."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from seediff.files.outputs import replace_file, write_atomic
from seediff.files.reading import read_json

from .recipe import Recipe
from .world import NAMED, ODDS, render_scene

CLOSE_UPS = 80
"""Part of the random seed that decides which scenes are close-ups."""


def rendered_scenes(recipe: Recipe, art: Path, folder: Path, workers: int = 1) -> tuple[np.ndarray, list[str]]:
    """Images (n, S, S, 3) uint8 and captions of the recipe's training scenes, rendered on the first call."""
    stem = folder / _name(recipe)
    pixels, words = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if not words.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        captions: list[str] = []
        draw = partial(_draw, art, recipe)
        with replace_file(pixels) as part:
            images = np.lib.format.open_memmap(part, "w+", np.uint8, (recipe.scenes, recipe.side, recipe.side, 3))
            with ProcessPoolExecutor(workers) as pool:
                for index, (image, caption) in enumerate(pool.map(draw, range(recipe.scenes), chunksize=64)):
                    images[index] = image
                    captions.append(caption)
            images.flush()
        write_atomic(words, json.dumps(captions).encode("utf-8"))  # written last: if it exists, both files are complete
    return np.load(pixels, mmap_mode="r"), read_json(words, list[str])


def _name(recipe: Recipe) -> str:
    described = "-described" * recipe.describe + ("" if recipe.named == NAMED else f"-{100 * recipe.named:.0f}")
    odds = "" if recipe.objects == ODDS else "-" + "_".join(map(str, recipe.objects))
    return f"scenes-{recipe.seed}-{recipe.scenes}-{recipe.side}{described}-{100 * recipe.close_ups:.0f}{odds}"


def _draw(art: Path, recipe: Recipe, index: int) -> tuple[np.ndarray, str]:
    close = bool(np.random.default_rng((recipe.seed, CLOSE_UPS, index)).random() < recipe.close_ups)
    scene = render_scene(
        art,
        index,
        seed=recipe.seed,
        side=recipe.side,
        odds=recipe.objects,
        describe=recipe.describe,
        named=recipe.named,
        close=close,
    )
    return scene.image, scene.caption
