"""Traces survive the disk, with the same bytes every time."""

import numpy as np
import pytest
import torch
from synthetic import trace

from seediff.errors import UserError
from seediff.masks.make import MaskResult
from seediff.masks.steps import BEFORE_PAMR, Step
from seediff.report.saved_steps import load_trace, save_trace, traced_sample


def test_round_trip(tmp_path):
    saved = trace(3, "potted plant")
    for name in ("a", "b"):
        save_trace(tmp_path / name, saved)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    loaded = load_trace(tmp_path / "a")
    assert (loaded.index, loaded.class_name, loaded.prompt) == (3, "potted plant", "a photo of a potted plant")
    assert [step for step, _ in loaded.steps] == [step for step, _ in saved.steps]
    for (_, before), (_, after) in zip(saved.steps, loaded.steps, strict=True):
        assert (before.dtype == bool) == (after.dtype == bool)
        assert np.abs(before.astype(float) - after.astype(float)).max() <= 0.5 / 255 + 1e-6
    assert (loaded.image == saved.image).all()
    assert (loaded.label_map == saved.label_map).all()
    assert loaded.after_pamr is not None
    assert np.abs(loaded.after_pamr - saved.after_pamr).max() <= 0.5 / 255 + 1e-6
    save_trace(tmp_path / "again", loaded)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "a").read_bytes()


def test_something_else_is_named(tmp_path):
    with pytest.raises(UserError, match="none: there is no such file"):
        load_trace(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(UserError, match="text: is no whole safetensors file"):
        load_trace(tmp_path / "text")


def mask_result() -> MaskResult:
    steps = {Step("seeds", 4): torch.eye(4) > 0, Step("final"): torch.eye(8), BEFORE_PAMR: torch.eye(16) / 2}
    return MaskResult(
        label_map=np.eye(16, dtype=np.uint8) * 2,
        soft=torch.stack([torch.zeros(16, 16), torch.full((16, 16), 0.25)]),
        classes=("dog", "cat"),
        trace={"cat": steps},
    )


def test_from_a_mask_result():
    image = np.zeros((16, 16, 3), np.uint8)
    traced = traced_sample(
        5, image, mask_result(), "cat", np.eye(16, dtype=np.uint8), prompt="a photo of a cat", pamr=True
    )
    assert [str(step) for step, _ in traced.steps] == ["seeds L/4", "final"]
    assert traced.steps[0][1].dtype == bool
    assert traced.steps[1][1].dtype == np.float32
    assert traced.after_pamr is not None
    assert (traced.after_pamr == 0.25).all()
    assert np.array_equal(traced.before_pamr, np.eye(16, dtype=np.float32) / 2)
    assert (traced.label_map == np.eye(16)).all()
