"""The share that the best sprite explains: high for whole objects, low for mixtures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from recipes.mini.check import SIDE, check_drawings, explained_by
from seediff.config.generate import GenerateConfig
from seediff.mini.scenes import CLASSES


def sprite(*heads: str) -> Image.Image:
    """A body on legs with a tall neck at the named ends."""
    image = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 30, 55, 44), fill=(180, 90, 40, 255))
    for x in (10, 46):
        draw.rectangle((x, 44, x + 6, 60), fill=(90, 60, 30, 255))
    for end in heads:
        x = 6 if end == "left" else 46
        draw.rectangle((x, 6, x + 11, 30), fill=(230, 200, 60, 255))
    return image


def template(image: Image.Image) -> torch.Tensor:
    array = np.asarray(image, np.float32) / 255
    array = np.dstack([array[..., :3] * array[..., 3:], array[..., 3]])
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def drawn(image: Image.Image, turn: float = 0.0, size: int = SIDE, at: tuple[int, int] = (0, 0), light: float = 1.0):
    """(pixels (3, R, R), mask (R, R)) of a sprite on grey."""
    moved = image.resize((size, size), Image.Resampling.BILINEAR).rotate(turn, Image.Resampling.BILINEAR)
    canvas = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    canvas.paste(moved, at)
    array = torch.from_numpy(np.asarray(canvas, np.float32) / 255)
    alpha = array[..., 3:]
    pixels = (array[..., :3] * light).clamp(0, 1) * alpha + 0.5 * (1 - alpha)
    return pixels.permute(2, 0, 1), alpha[..., 0]


@pytest.mark.parametrize(("turn", "size", "at", "light"), [(0, 64, (0, 0), 1.0), (-12, 34, (2, 25), 0.85)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_whole_object_is_explained_wherever_it_stands(turn, size, at, light, mirrored) -> None:
    image = sprite("left")
    other = template(sprite())
    seen = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image
    share, best = explained_by(*drawn(seen, turn, size, at, light), torch.cat([other, template(image)]))
    assert best == 1
    assert share > 0.85


def test_two_heads_are_explained_worse_than_one() -> None:
    sprites = template(sprite("left"))
    whole, _ = explained_by(*drawn(sprite("left"), 5, 50, (6, 6)), sprites)
    chimera, _ = explained_by(*drawn(sprite("left", "right"), 5, 50, (6, 6)), sprites)
    headless, _ = explained_by(*drawn(sprite(), 5, 50, (6, 6)), sprites)
    assert chimera < whole - 0.1
    assert headless < whole - 0.1


def test_another_colour_does_not_pass_for_light() -> None:
    pixels, mask = drawn(sprite("left"), 0, 50, (6, 6))
    same, _ = explained_by(pixels, mask, template(sprite("left")))
    swapped, _ = explained_by(pixels[[2, 1, 0]], mask, template(sprite("left")))
    assert swapped < same - 0.2


def test_drawings_are_measured(art, mini_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(GenerateConfig, "recommended", lambda **given: GenerateConfig(**given, steps=1))
    result = check_drawings(art, str(mini_folder), tmp_path / "q", images=2)
    assert json.loads((tmp_path / "q" / "quality.json").read_text()) == json.loads(json.dumps(result))
    assert (tmp_path / "q" / "generated.png").is_file()
    assert 0 <= result["explained"] <= 1
    assert list(result["per_class"]) == list(CLASSES[:2])
