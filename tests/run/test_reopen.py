import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_engine import fake_draw
from interrupted import contents
from PIL import Image

from seediff.config.augment import AugmentConfig
from seediff.config.generate import GenerateConfig
from seediff.config.photographs import SegmentPhotosConfig
from seediff.dataset import native
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.store import open_native
from seediff.errors import UserError
from seediff.files.photographs import find_photos
from seediff.run.augment import augment
from seediff.run.generate import generate
from seediff.run.reopen import sample_number
from seediff.run.segment import segment_photos

CONFIG = GenerateConfig(
    classes=("dog", "cat", "bus"),
    per_class=3,
    batch_size=2,
    reject=True,
    attempts=2,
    keep_soft=True,
    keep_attention=True,
    device="cpu",
)


def check_repeat(out: Path, last: str, run: Callable[[], object], *damaged: str) -> None:
    """Damage files, remove the file that a run writes last, and run it again: all bytes are as before."""
    before = contents(out)
    for name in damaged:
        (out / name).write_bytes(before[name][: len(before[name]) * 2 // 3])
    if last == native.METADATA:
        assert check_dataset(out).errors == len(damaged)
    (out / last).unlink()
    run()
    assert contents(out) == before


def test_a_damaged_dataset_is_made_again_by_its_command(tmp_path):
    generate(CONFIG, tmp_path / "pets", draw=fake_draw)
    first, *_, last = [item.name for item in open_native(tmp_path / "pets")[1]]
    files = f"images/{first}.png", f"masks/{first}.png", f"attention/{last}.safetensors"
    check_repeat(
        tmp_path / "pets", native.METADATA, lambda: generate(CONFIG, tmp_path / "pets", draw=fake_draw), *files
    )

    def augmented():
        augment(AugmentConfig(add=("flip:50%",), batch_size=2), tmp_path / "pets", tmp_path / "out")

    augmented()
    check_repeat(tmp_path / "out", native.METADATA, augmented, "images/augmented-000001.png")


def test_damaged_segments_are_made_again_by_their_command(tmp_path, mini_folder):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "photos/0.png")
    config, found = (
        SegmentPhotosConfig(model=str(mini_folder), device="cpu", threads=1),
        find_photos([tmp_path / "photos"]).photos,
    )
    segment_photos(config, found, tmp_path / "out")
    check_repeat(
        tmp_path / "out", config.last_file, lambda: segment_photos(config, found, tmp_path / "out"), "labels/0.png"
    )


def test_files_are_known_by_their_numbers():
    assert [sample_number(n) for n in ("images/000012.png", "images/1234567.jpg")] == [12, 1234567]
    with pytest.raises(UserError, match="is no picture that `seediff generate` drew"):
        sample_number("images/trip/1.png")


def test_nothing_depends_on_the_clock(tmp_path, monkeypatch):
    generate(CONFIG, tmp_path / "usual", draw=fake_draw)
    # A run that is stopped, whose files are from the future then, and that goes on while the clock runs backwards.
    calls = 0

    def stopping(specs):
        nonlocal calls
        calls += 1
        if calls > 3:
            raise KeyboardInterrupt
        return fake_draw(specs)

    with pytest.raises(KeyboardInterrupt):
        generate(CONFIG, tmp_path / "odd", draw=stopping)
    future = time.time() + 10**8
    for path in (tmp_path / "odd").rglob("*"):
        os.utime(path, (future, future))
    clock = iter(range(10**9, 0, -1000))
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: float(next(clock)))
    generate(CONFIG, tmp_path / "odd", draw=fake_draw)
    monkeypatch.undo()
    assert contents(tmp_path / "odd") == contents(tmp_path / "usual")
