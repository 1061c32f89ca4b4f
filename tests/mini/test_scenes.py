"""Scenes for measuring: what is written is read, and what is packaged is as promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recipes.mini.world import MEASURED, write_scenes
from seediff.cli import main
from seediff.errors import UserError
from seediff.metrics.mask_scores import psnr
from seediff.mini.scenes import CLASS_IDS, CLASSES, SETS, Scene, load_scenes, read_scenes


def scene(number: int) -> Scene:
    rows = np.linspace(0, 255, 32, dtype=np.uint8)
    image = np.stack([np.tile(rows, (32, 1)), np.tile(rows[:, None], (1, 32)), np.full((32, 32), 40 * number, np.uint8)], -1)
    label_map = np.zeros((32, 32), np.uint8)
    label_map[number : number + 9, 3:20] = CLASS_IDS["dog"]
    return Scene(image, label_map, ("dog",), f"a photo of a dog {number}")


def test_written_scenes_are_read(tmp_path: Path) -> None:
    scenes = [scene(i) for i in range(5)]
    write_scenes(tmp_path / "some.safetensors", scenes)
    back = read_scenes(tmp_path / "some.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["some.safetensors"]
    for ours, theirs in zip(scenes, back, strict=True):
        np.testing.assert_array_equal(ours.label_map, theirs.label_map)
        assert (ours.classes, ours.caption) == (theirs.classes, theirs.caption)
        assert psnr(ours.image, theirs.image) > 28
    assert [s.caption for s in read_scenes(tmp_path / "some.safetensors", 2)] == [s.caption for s in scenes[:2]]


@pytest.mark.parametrize("name", SETS)
def test_packaged_sets(name: str) -> None:
    scenes = load_scenes(name)
    assert len(scenes) == MEASURED[name][1]
    assert {c for s in scenes for c in s.classes} == set(CLASSES)
    assert sum(len(s.classes) == 1 for s in scenes) / len(scenes) == pytest.approx(0.45, abs=0.01)
    for packaged in scenes:
        assert packaged.image.shape == (128, 128, 3)
        assert set(np.unique(packaged.label_map)) == {0, *(CLASS_IDS[c] for c in packaged.classes)}


def test_mistakes_are_answered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'thruth' are not known; known: truth, shift, tune"):
        load_scenes("thruth")
    with pytest.raises(UserError, match=r"scenes = 601: truth.safetensors holds 600, so choose from 1 to 600"):
        load_scenes("truth", 601)
    with pytest.raises(UserError, match="scenes = 0"):
        load_scenes("truth", 0)
    with pytest.raises(UserError, match=r"tune_scenes = 201: tune.safetensors holds 200"):
        load_scenes("tune", 201)
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"no.safetensors: is no safetensors file"):
        read_scenes(tmp_path / "no.safetensors")


@pytest.mark.parametrize(
    "line",
    [
        ["study", "segments", "--scenes", "1", "--tune-scenes", "300"],
        ["mini", "scenes", "--set", "tune", "--count", "300"],
    ],
    ids=" ".join,
)
def test_the_option_that_asks_for_too_many_is_named(tmp_path: Path, capsys, line: list[str]) -> None:
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    option = line[line.index("300") - 1]
    assert capsys.readouterr().err == f"seediff: {option} 300: tune.safetensors holds 200, so choose from 1 to 200\n"
