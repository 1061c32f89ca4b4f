import json
from dataclasses import replace

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from refusals import user_error
from safetensors.torch import load_file
from tiny_recipe import TINY

from recipes.mini import train
from recipes.mini.grouping import AttentionTap, agreement_loss, grouping_loss, trusted_maps
from recipes.mini.train import draw_samples, train_mini

pytestmark = pytest.mark.usefixtures("no_sheets")


def test_grouping_prefers_rows_that_stay_within_a_region():
    side, region = 4, torch.zeros(1, 1, 4, 4)
    region[..., :2] = 1  # left half: the word's object
    latents = region.expand(1, 4, 4, 4) * 4
    same = (region.flatten()[:, None] == region.flatten()[None]).float()

    def loss(rows):
        tap = AttentionTap(rows=16, word_side=side, token_weights=torch.ones(1, 1, 1))
        tap.sampled.append(((rows / rows.sum(-1, keepdim=True)).clamp_min(1e-9).log()[None], torch.arange(16), side))
        tap.word_maps.append(region.flatten(2))
        return grouping_loss(tap, trusted_maps(tap), latents, torch.ones(1), words=1.0).item()

    grouped, uniform = loss(same), loss(torch.ones(16, 16))
    assert grouped == pytest.approx(0, abs=1e-3)
    assert uniform > 0.5


def test_words_agree_when_every_level_finds_them_where_the_trusted_one_does():
    left, right = torch.full((1, 2, 8, 8), 0.02), torch.full((1, 2, 4, 4), 0.02)
    left[..., :4], right[..., 2:] = 0.6, 0.6

    def loss(columns, present=(1.0, 1.0), signal=1.0, words=1.0):
        tap = AttentionTap(rows=1, word_side=8, token_weights=torch.tensor(present)[None, :, None])
        tap.word_maps.append(left.flatten(2))
        tap.other_maps.append((columns.flatten(2), columns.shape[-1]))
        return agreement_loss(tap, trusted_maps(tap), torch.tensor([signal]), words).item()

    agreeing = right.flip(-1)
    assert loss(agreeing) == pytest.approx(loss(agreeing * 0.01), abs=1e-5)
    assert 3 * loss(agreeing) < loss(torch.ones(1, 2, 4, 4)) < loss(right) / 3
    assert loss(right, present=(1.0, 0.0)) == pytest.approx(loss(right) / 2)
    assert loss(right, signal=0.5, words=0.5) == pytest.approx(loss(right) / 4)
    assert loss(right, present=(0.0, 0.0)) == 0


def test_the_recipe_runs_and_continues_to_the_same_weights(art, tmp_path, monkeypatch):
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
    image = pipe("a photo of a dog", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (64, 64, 3)
    assert json.loads((whole / "seediff.json").read_text())["classes"][0] == "aeroplane"
    assert (tmp_path / "whole" / "samples.png").is_file()
    monkeypatch.setattr(train, "SHEET_STEPS", 1)
    draw_samples(whole, tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size == (19 * 64, 2 * 64)
    with user_error("coarse_samples: 4 would train the inner levels without the"):
        train_mini(TINY, art, tmp_path / "more", init=whole, say=lambda _: None)
    onwards = replace(TINY, seed=1, denoiser=replace(TINY.denoiser, coarse_samples=0))
    more, _ = train_mini(onwards, art, tmp_path / "more", init=whole, minutes=0, say=lambda _: None)
    assert more is not None
    begun, continued = (json.loads((p / "seediff.json").read_text()) for p in (whole, more))
    assert begun["preset"] == continued["preset"] == {"steps": 8, "guidance_scale": 2.5, "scheduler": "euler-a"}
    assert (begun["samples"], continued["samples"]) == (12, 16)  # one step
    scaling, kept = (json.loads((p / "vae" / "config.json").read_text())["scaling_factor"] for p in (whole, more))
    assert scaling == kept  # although the scenes are others
    before, after = (load_file(next((p / "vae").glob("*.safetensors"))) for p in (whole, more))
    assert all(torch.equal(before[k], after[k]) for k in before)  # the autoencoder is kept
    with user_error("already holds checkpoints"):
        train_mini(onwards, art, tmp_path / "more", init=whole, say=lambda _: None)
    losses = [json.loads(line) for line in (tmp_path / "whole" / "losses.jsonl").read_text().splitlines()]
    assert all(row["stage"] in ("autoencoder", "denoiser") for row in losses)
