"""A set whose pictures are 3:2 and 2:3 by turns, from the model on: shapes stay what they were."""

import base64
import io
import re

import numpy as np
import pytest
from command_line import runner
from PIL import Image

from seediff.cli.augment import augment
from seediff.cli.commands import preview
from seediff.cli.photos import mask
from seediff.cli.quality import check
from seediff.dataset import native, store
from seediff.report.saved_steps import load_trace

SHAPES = ((64, 96), (96, 64))
"""(height, width)."""

run = runner(augment, check, preview, mask)


def pictures_of(page: str) -> list[tuple[int, int]]:
    """(width, height) of all pictures in a page."""
    data = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", page)
    return [Image.open(io.BytesIO(base64.b64decode(one))).size for one in data]


def test_masks_of_photographs_and_their_page(mini_folder, tmp_path):
    """A set from the model on: its steps are drawn in the shape of their picture, and everything that follows takes
    it.
    """
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (*SHAPES[number % 2], 3), np.uint8)).save(
            tmp_path / f"photos/{number}.png"
        )
    out = tmp_path / "masked"
    options = (
        "--model",
        mini_folder,
        "--timesteps",
        "200",
        "--presence",
        0,
        "--keep-soft",
        "--device",
        "cpu",
        "--size",
        96,
        "--quiet",
    )
    run("mask", tmp_path / "photos", "--classes", "dog,cat", *options, "--out", out)
    assert [sample.label_map.shape for sample in store.read_dataset(out)] == [*SHAPES] * 2
    assert all(
        sample.soft is not None and sample.soft.shape[1:] == sample.label_map.shape
        for sample in store.read_dataset(out)
    )
    steps = [load_trace(path) for path in sorted((out / native.STEPS).iterdir())]
    for traced in steps:
        height, width = traced.label_map.shape
        assert all(
            one.map.shape[0] / one.map.shape[1] == pytest.approx(height / width, rel=0.15) for one in traced.steps
        )
    run("preview", out)
    page = (out / "preview.html").read_text(encoding="utf-8")
    shapes = re.findall(r"--shape:(\d+)/(\d+);", page)
    assert [(int(height), int(width)) for width, height in shapes] == [
        traced.label_map.shape for traced in steps[: len(shapes)]
    ]
    for width, height in pictures_of(page):  # photographs, and what the model saw and read of them
        assert max(width, height) / min(width, height) == pytest.approx(1.5, rel=0.15)
    run("check", out, "--quiet")
    run("augment", out, "--add", "splice-2x2:2", "--out", tmp_path / "more", "--quiet")
    run("check", tmp_path / "more", "--quiet")
