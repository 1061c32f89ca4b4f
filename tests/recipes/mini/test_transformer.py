"""The embedded world's MM-DiT: Stable Diffusion 3's classes, trained as the UNet is."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from recipes.mini.autoencoder import build_autoencoder
from recipes.mini.half_size import half_side
from recipes.mini.loop import Batch
from recipes.mini.recipe import Autoencoder, Recipe, Teacher
from recipes.mini.recipe import Transformer as Table
from recipes.mini.train import train_mini
from recipes.mini.transformer import ZERO_COLUMNS, Transformer

pytestmark = pytest.mark.usefixtures("no_sheets")
TINY = Recipe(
    side=64,
    scenes=12,
    workers=1,
    network="transformer",
    autoencoder=Autoencoder(channels=(8, 8, 8), crops=8, batch=4),
    teacher=Teacher(samples=8, batch=4, features=8),
    transformer=Table(layers=2, heads=2, head_width=8, text_widths=(16, 8), samples=8, coarse_samples=4, batch=4),
)


def test_one_column_stands_for_all_columns_of_zeros() -> None:
    torch.manual_seed(0)
    model = Transformer(TINY).eval()
    whole = copy.deepcopy(model.transformer)
    model.prepare(["a photo of a dog", "a photo of a cat and a bus"], 16)
    x, level = torch.randn(2, 4, 16, 16), torch.tensor([10.0, 500.0])
    with torch.no_grad():
        words = model.words(model.ids)
        zeros = words[:, -1:].expand(-1, ZERO_COLUMNS - 1, -1)
        expected = whole(x, torch.cat([words, zeros], 1), torch.zeros(2, 24), level).sample
        assert torch.allclose(model.transformer(x, words, torch.zeros(2, 24), level).sample, expected, atol=1e-5)


def test_coarse_tokens_stand_in_the_middle_of_those_whose_place_they_take() -> None:
    model = Transformer(TINY).eval()
    embed, ids = model.transformer.pos_embed, torch.zeros(1, 3, 24)
    whole = embed.cropped_pos_embed(16, 16).view(8, 8, -1)
    with half_side(embed):
        half = embed.cropped_pos_embed(8, 8).view(4, 4, -1)
        drawn = model.transformer(torch.randn(1, 4, 8, 8), ids, torch.zeros(1, 24), torch.tensor([10.0])).sample
    assert drawn.shape == (1, 4, 8, 8)
    assert torch.allclose(half[1, 2], whole[2:4, 4:6].mean((0, 1)), atol=1e-6)
    assert torch.equal(embed.cropped_pos_embed(16, 16).view(8, 8, -1), whole)


def test_coarse_training_reaches_every_weight() -> None:
    torch.manual_seed(0)
    model = Transformer(TINY)
    model.prepare(["a photo of a dog", "a photo of a cat"], 16)
    for seen, side in ((0, 8), (4, 16)):
        shapes: list[torch.Size] = []
        hook = model.transformer.proj_out.register_forward_hook(lambda *a, into=shapes: into.append(a[-1].shape))
        model.zero_grad()
        clean, noise = torch.randn(2, 2, 4, 16, 16)
        batch = Batch(
            clean,
            noise,
            torch.tensor([10, 500]),
            np.arange(2),
            torch.zeros(2, dtype=torch.bool),
            seen,
            torch.randn(2, 8, 4, 4),
        )
        model.losses(batch)[0].backward()
        hook.remove()
        assert [shape[1] for shape in shapes] == [(side // 2) ** 2]
        unused = {name for name, w in model.transformer.named_parameters() if w.grad is None}
        assert not unused


def test_the_pipeline_tells_the_network_what_training_told_it() -> None:
    model = Transformer(TINY).eval()
    text = "a photo of a dog"
    model.prepare([text], 16)
    pipe = model.pipeline(build_autoencoder(TINY))
    states, _, pooled, _ = pipe.encode_prompt(text, text, text, do_classifier_free_guidance=False)
    with torch.no_grad():
        words = model.words(model.ids)
    assert states.shape == (1, 32 + ZERO_COLUMNS, 24)
    assert torch.equal(states[:, :32], words[:, :32])
    assert not states[:, 32:].any()
    assert not pooled.any()  # the class is known by attention alone


def test_the_recipe_runs_continues_and_draws(art: Path, tmp_path: Path) -> None:
    whole, complete = train_mini(TINY, art, tmp_path / "whole", say=lambda _: None)
    assert complete
    assert whole is not None
    parts, complete = None, False
    for _ in range(10):
        parts, complete = train_mini(TINY, art, tmp_path / "parts", minutes=0, say=lambda _: None)
        if complete:
            break
    assert complete
    assert parts is not None
    for name in ("transformer", "text_encoder", "text_encoder_2", "vae"):
        one, other = (next((p / name).glob("*.safetensors")).read_bytes() for p in (whole, parts))
        assert one == other, name
    assert (tmp_path / "whole" / "samples.png").is_file()
    pipe = StableDiffusion3Pipeline.from_pretrained(
        whole, torch_dtype=torch.float32, text_encoder_3=None, tokenizer_3=None
    )
    pipe.set_progress_bar_config(disable=True)
    assert pipe("a photo of a dog", num_inference_steps=2, output_type="np").images[0].shape == (64, 64, 3)
    more, _ = train_mini(TINY, art, tmp_path / "more", init=whole, minutes=0, say=lambda _: None)
    assert more is not None
