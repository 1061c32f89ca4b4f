import os
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cyclopts import App
from fake_engine import fake_draw
from interrupted import contents
from PIL import Image

from seediff.cli import main
from seediff.cli.quality import check
from seediff.config.augment import AugmentConfig
from seediff.config.generate import GenerateConfig
from seediff.config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from seediff.dataset import native
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.store import open_native, write_native
from seediff.errors import UserError
from seediff.files.photographs import find_photos
from seediff.run.augment import augment
from seediff.run.generate import generate
from seediff.run.mask import mask_photos
from seediff.run.reopen import can_reopen, reopen, sample_number, what_to_do
from seediff.run.segment import segment_photos

CONFIG = GenerateConfig(
    classes=("dog", "cat", "bus"), per_class=3, batch_size=2, reject=True, attempts=2, keep_soft=True, keep_attention=True, device="cpu"
)
app = App(result_action="return_value")
app.command(check)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def test_damaged_samples_are_made_again_and_no_others(tmp_path):
    out = tmp_path / "out"
    generate(CONFIG, out, draw=fake_draw)
    before = contents(out)
    names = [item.name for item in open_native(out)[1]]
    first, last = names[0], names[-1]
    soft = next(path for path in sorted((out / "soft").iterdir()) if path.name.startswith(last))
    truncate(out / f"images/{first}.png")
    truncate(out / f"masks/{first}.png")
    truncate(soft)
    truncate(out / f"attention/{last}.safetensors")
    (out / f"attention/{first}.safetensors").unlink()
    kinds = [one.kind for one in check_dataset(out).findings if one.level == "error"]
    assert sorted(kinds) == ["mask", "missing", "picture", "soft", "tensors"]
    with pytest.raises(UserError, match=r"5 damaged files; to make their samples again: seediff generate --config .*seediff.toml --out "):
        app(["check", str(out), "--fix", "--quiet"], exit_on_error=False, print_error=False)
    drawn: list[int] = []

    def draw(specs):
        drawn.extend(spec.index for spec in specs)
        return fake_draw(specs)

    generate(CONFIG, out, draw=draw)
    assert contents(out) == before
    assert {index // 2 for index in drawn} == {int(first) // 2, int(last) // 2}


@pytest.mark.parametrize("left", ["images", "nothing"])
def test_a_lost_file_is_one_as_well(tmp_path, left):
    generate(replace(CONFIG, keep_soft=False), tmp_path / "out", draw=fake_draw)
    before = contents(tmp_path / "out")
    for item in open_native(tmp_path / "out")[1][: 1 if left == "images" else None]:
        (tmp_path / "out" / item.metadata["mask"]).unlink()
    damaged = {one.where for one in check_dataset(tmp_path / "out").findings if one.kind == "missing"}
    reopen(tmp_path / "out", damaged)
    generate(replace(CONFIG, keep_soft=False), tmp_path / "out", draw=fake_draw)
    assert contents(tmp_path / "out") == before


def test_what_cannot_be_made_again_is_left_as_it_is(tmp_path):
    generate(CONFIG, tmp_path / "out", draw=fake_draw)
    assert can_reopen(tmp_path / "out")
    classes, items = open_native(tmp_path / "out")
    write_native(tmp_path / "copy", classes, items, about={})
    truncate(tmp_path / "copy" / items[0].metadata["mask"])
    before = contents(tmp_path / "copy")
    assert not can_reopen(tmp_path / "copy")
    with pytest.raises(UserError, match=r"1 error \(mask 1\).*; --fix cannot make samples again: no run of this version"):
        app(["check", str(tmp_path / "copy"), "--fix", "--quiet"], exit_on_error=False, print_error=False)
    assert contents(tmp_path / "copy") == before
    text = (tmp_path / "out" / native.CONFIG).read_text()
    (tmp_path / "out" / native.CONFIG).write_text(text.replace('version = "', 'version = "9'))
    assert not can_reopen(tmp_path / "out")  # another version would draw other pictures
    assert what_to_do(tmp_path / "out").startswith("no run of this version")


def advised(error: pytest.ExceptionInfo[UserError], source: Path) -> list[str]:
    """The command in a message that says which file is to be removed first, which is done."""
    found = re.search(r"remove (\S+) and run: seediff (.*?) \(", str(error.value))
    assert found is not None
    Path(found[1]).unlink()
    return [str(source) if word.isupper() else word for word in found[2].split()]


def test_an_augmented_dataset_is_made_again_as_the_message_says(tmp_path):
    generate(CONFIG, tmp_path / "pets", draw=fake_draw)
    augment(AugmentConfig(add=("flip:50%",), batch_size=2), tmp_path / "pets", tmp_path / "out")
    before = contents(tmp_path / "out")
    truncate(tmp_path / "out/images/augmented-000001.png")
    with pytest.raises(UserError, match=r"1 error \(picture 1\); .*; --fix cannot make samples again: remove ") as error:
        app(["check", str(tmp_path / "out"), "--fix", "--quiet"], exit_on_error=False, print_error=False)
    assert main(advised(error, tmp_path / "pets")) == 0
    assert contents(tmp_path / "out") == before


def test_segments_are_no_dataset_and_made_again_as_the_message_says(tmp_path, mini_folder):
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "photos/0.png")
    config = SegmentPhotosConfig(model=str(mini_folder), device="cpu", threads=1)
    segment_photos(config, find_photos([tmp_path / "photos"]).photos, tmp_path / "out")
    before = contents(tmp_path / "out")
    truncate(tmp_path / "out/labels/0.png")
    with pytest.raises(UserError, match="is what `seediff segment` made, and no dataset") as error:
        app(["check", str(tmp_path / "out"), "--fix"], exit_on_error=False, print_error=False)
    assert main(advised(error, tmp_path / "photos")) == 0
    assert contents(tmp_path / "out") == before


def test_masks_of_photographs_are_made_again(tmp_path, mini_folder):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (128, 128, 3), np.uint8)).save(tmp_path / f"photos/{number}.png")
    (tmp_path / "photos/1.png").write_bytes(b"no picture")
    config = MaskPhotosConfig(
        classes=("dog",), presence=0.0, timesteps=(100,), keep_soft=True, model=str(mini_folder), batch_size=1, device="cpu", threads=1
    )
    found, out = find_photos([tmp_path / "photos"]).photos, tmp_path / "out"
    mask_photos(config, found, out)
    before = contents(out)
    truncate(out / "masks/000002.png")
    with pytest.raises(UserError, match=r"1 damaged file; to make their samples again: seediff mask PHOTOS --config .*seediff.toml --out "):
        app(["check", str(out), "--fix", "--quiet"], exit_on_error=False, print_error=False)
    assert sorted(path.name for path in (out / ".batches").iterdir()) == ["000000.json"]  # 1 has failed, and nothing says which it was
    mask_photos(config, found, out)
    assert contents(out) == before


def test_files_are_known_by_their_numbers():
    assert [sample_number(n) for n in ("images/000012.png", "soft/000007_3.png", "attention/1234567.safetensors")] == [12, 7, 1234567]
    with pytest.raises(UserError, match="is no sample's file"):
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
