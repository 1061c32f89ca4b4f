"""The programs that make the embedded model: each runs small, is stopped, and goes on."""

import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from msgspec import structs
from refusals import user_error

from recipes.mini.recipe import Autoencoder, Denoiser, Recipe
from recipes.mini.sets import load_set
from recipes.mini.train import train_mini
from seediff.mini import load_scenes

pytestmark = pytest.mark.slow

TINY = Recipe(
    side=64,
    scenes=12,
    autoencoder=Autoencoder(channels=(8, 8, 8), crops=8, batch=4),
    denoiser=Denoiser(
        channels=(16, 16, 16),
        heads=(1, 1, 2),
        text_width=16,
        samples=12,
        coarse_samples=4,
        batch=4,
        grouping_words_from=0,
    ),
)


def test_the_recipe_runs_and_continues_to_the_same_weights(art, tmp_path):
    whole, complete = train_mini(TINY, art, tmp_path / "whole", say=lambda _: None)
    assert complete
    # No time at all: one step a run, the first within the autoencoder.
    assert train_mini(TINY, art, tmp_path / "parts", minutes=0, say=lambda _: None) == (None, False)
    for _ in range(10):
        parts, complete = train_mini(TINY, art, tmp_path / "parts", minutes=0, say=lambda _: None)
        if complete:
            break
    assert complete
    for file in ("unet", "vae", "text_encoder"):
        name = next((whole / file).glob("*.safetensors")).name
        assert (whole / file / name).read_bytes() == (parts / file / name).read_bytes(), file
    pipe = StableDiffusionPipeline.from_pretrained(whole, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    assert pipe("a photo of a dog", num_inference_steps=2, output_type="np").images[0].shape == (64, 64, 3)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "losses.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows} == {"autoencoder", "denoiser"}
    assert "alignment" in rows[-1]

    # Other scenes and a deeper network, from these weights.
    with user_error("coarse_samples: 4 would train the inner levels without the"):
        train_mini(TINY, art, tmp_path / "more", init=whole, say=lambda _: None)
    deeper = structs.replace(TINY, seed=1, denoiser=structs.replace(TINY.denoiser, coarse_samples=0, layers=2))
    more, _ = train_mini(deeper, art, tmp_path / "more", init=whole, minutes=0, say=lambda _: None)
    begun, continued = (json.loads((p / "seediff.json").read_text()) for p in (whole, more))
    assert begun["preset"] == continued["preset"]
    assert (begun["samples"], continued["samples"]) == (12, 16)  # one step
    scaling, kept = (json.loads((p / "vae" / "config.json").read_text())["scaling_factor"] for p in (whole, more))
    assert scaling == kept  # although the scenes are others
    with user_error("already holds checkpoints"):
        train_mini(deeper, art, tmp_path / "more", init=whole, say=lambda _: None)
    with user_error("holds the training of another recipe"):
        train_mini(TINY, art, tmp_path / "more", say=lambda _: None)


def test_the_package_has_the_first_scenes_of_the_held_out_set():
    for ours, theirs in zip(load_scenes(), load_set("truth", 60), strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_array_equal(ours.label_map, theirs.label_map)
