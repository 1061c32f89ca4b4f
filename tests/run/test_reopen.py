import json
import re
import shutil
from dataclasses import replace
from functools import partial

import pytest
from fake_engine import fake_draw
from interrupted import check_interrupted, contents, interrupt_after
from refusals import user_error

from seediff.cli.quality import describe_errors
from seediff.cli.summary import show_generated
from seediff.config.generate_config import GenerateConfig
from seediff.dataset import native
from seediff.dataset.native import open_native
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.reviews import REVIEWS
from seediff.dataset.split import set_splits
from seediff.run.generate_job import GenerateJob, generate
from seediff.run.loop import dry_run

KEPT = {"keep_soft": True, "keep_attention": True, "device": "cpu", "threads": 1}
CONFIG = GenerateConfig(classes=("dog", "cat", "bus"), per_class=3, batch_size=2, **KEPT)
LARGER = replace(CONFIG, per_class=5)
REJECT = {"reject": True, "attempts": 2}
faked = partial(generate, draw=fake_draw)


def test_a_damaged_dataset_is_made_again_by_its_command(tmp_path):
    config, out = replace(CONFIG, **REJECT), tmp_path / "pets"
    faked(config, out)
    first, second, *_, last = [item.name for item in open_native(out)[1]]
    before = contents(out)
    for name in (f"images/{first}.png", f"masks/{second}.png", f"attention/{last}.safetensors"):
        (out / name).write_bytes(before[name][: len(before[name]) * 2 // 3])
    assert check_dataset(out).errors == 3
    (out / native.METADATA).unlink()
    faked(config, out)
    assert contents(out) == before


def flipped(data):
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 255]) + data[half + 1 :]


def with_row(**changes):
    """Changes the second row of metadata.jsonl."""

    def change(data):
        rows = [json.loads(line) for line in data.splitlines()]
        return native.jsonl([rows[0], {**rows[1], **changes}, *rows[2:]])

    return change


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        *((f"{folder}/*", change) for folder in ("images", "masks", "soft") for change in (flipped, None)),
        ("attention/*", lambda data: data[:50]),
        ("masks/*", lambda data: data[:-40]),
        ("images/*", lambda data: data[: len(data) // 2]),
        ("classes.txt", lambda data: b""),
        ("classes.txt", lambda data: data[:-4]),
        ("classes.txt", None),
        ("metadata.jsonl", lambda data: b""),
        ("metadata.jsonl", lambda data: data[:-30]),
        ("metadata.jsonl", with_row(file_name="images/none.png")),
        ("metadata.jsonl", with_row(file_name="images/000000.png")),
        ("metadata.jsonl", with_row(file_name="")),
        ("metadata.jsonl", with_row(classes=["zebra"])),
    ],
)
def test_the_advice_of_check_makes_the_same_bytes(tmp_path, pattern, change):
    out = tmp_path / "pets"
    faked(CONFIG, out)
    before = contents(out)
    path = sorted(out.glob(pattern))[0]
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    advice = re.search("remove (.*), and run the same command again", describe_errors(out, check_dataset(out)))
    assert advice
    for name in advice[1].split(" and "):
        (out / name).unlink(missing_ok=True)
    faked(CONFIG, out)
    assert contents(out) == before


@pytest.mark.parametrize(
    ("name", "per_class", "said"),
    [
        (None, 3, "metadata.jsonl: has no line about .*; remove metadata.jsonl"),
        (None, 5, "metadata.jsonl, row 2: needs 'file_name'"),
        ("images/x.png", 3, "images/x.png: no such file; remove metadata.jsonl"),
    ],
)
def test_rows_that_were_changed_by_hand_are_named(tmp_path, name, per_class, said):
    config = replace(CONFIG, reject=True)
    first, second, *_ = faked(config, tmp_path).rows
    (tmp_path / native.METADATA).write_bytes(native.jsonl([first, {**second, "file_name": name}]))
    with user_error(said):
        show_generated(faked(replace(config, per_class=per_class), tmp_path), config)


@pytest.mark.parametrize(
    "changes",
    [REJECT, {"classes_per_image": (1, 1, 2)}, {"batch_size": 3}, {"prompts": ("a {class}", "the {class}")}],
    ids=["reject", "several classes", "whole batches", "templates"],
)
def test_more_images_per_class_join_those_that_are_there(tmp_path, changes):
    small, large = replace(CONFIG, **changes), replace(CONFIG, per_class=5, **changes)
    faked(large, tmp_path / "large")
    before = faked(small, tmp_path / "grown")
    drawn = set()

    def draw(specs):
        drawn.update(spec.index for spec in specs)
        return fake_draw(specs)

    generate(large, tmp_path / "grown", draw=draw)
    assert contents(tmp_path / "grown") == contents(tmp_path / "large")
    indices = {int(row["file_name"][7:13]) for row in before.rows}
    assert len(drawn & indices) < small.batch_size  # only the last batch, and only if it was not full


def test_a_reviewed_sample_is_not_drawn_again(tmp_path):
    faked(CONFIG, tmp_path / "out")
    for sample, refused in (("000000", False), ("000008", True)):  # 9 samples in batches of 2
        (tmp_path / "out" / REVIEWS).write_text(
            f'{{"sample": "{sample}", "version": 1, "action": "accept", "verdict": "accepted"}}\n'
        )
        before = contents(tmp_path / "out")
        if refused:
            with user_error(r"would draw 000008 again, which was reviewed.*seediff merge"):
                faked(LARGER, tmp_path / "out")
            assert contents(tmp_path / "out") == before
        else:
            faked(LARGER, tmp_path / "grown")


def test_growth_that_is_stopped_goes_on(tmp_path, monkeypatch):
    faked(CONFIG, tmp_path / "small")

    def grow(out):
        if not out.exists():
            shutil.copytree(tmp_path / "small", out)
        faked(LARGER, out)

    check_interrupted(grow, tmp_path, monkeypatch, range(0, 25, 4))


def test_samples_keep_their_split_when_their_set_grows(tmp_path):
    out = tmp_path / "out"
    faked(CONFIG, out)
    splits = {f"{number:06d}": ("val", "train")[number % 3 > 0] for number in range(9)}
    set_splits(out, splits)
    faked(LARGER, out)
    assert {item.name: item.metadata.get("split") for item in open_native(out)[1][:9]} == splits


@pytest.mark.parametrize("changes", [{}, REJECT, {"classes_per_image": (1, 1, 2)}], ids=["", "reject", "several"])
@pytest.mark.parametrize("per_class", [2, 4])
def test_a_run_ends_with_fewer_images_as_if_it_was_begun_for_them(tmp_path, changes, per_class):
    """It was stopped in its third batch, after the files of a picture were written."""
    large, small = replace(CONFIG, per_class=20, **changes), replace(CONFIG, per_class=per_class, **changes)
    out = tmp_path / "ended"
    interrupt_after(2, large, out, draw=fake_draw)
    (out / "images/000059.png").write_bytes(b"of a batch that was not finished")
    faked(small, tmp_path / "small")
    faked(small, out)
    assert contents(out) == contents(tmp_path / "small")


def test_no_drawn_image_is_lost_by_ending_a_run(tmp_path):
    large, out = replace(CONFIG, per_class=20), tmp_path / "pets"
    interrupt_after(4, large, out, draw=fake_draw)  # eight images of three classes
    before = contents(out)
    for act in (faked, lambda config, out: list(dry_run(GenerateJob(config, fake_draw), out))):
        with user_error("per_class: 2 would be 6 images, and .* already holds 8; 3 ends .*; 20 continues it"):
            act(replace(large, per_class=2), out)
    assert contents(out) == before
    first, *_ = dry_run(GenerateJob(replace(large, per_class=3), fake_draw), out)
    assert "Would end with" in first
    assert len(faked(replace(large, per_class=3), out).rows) == 9

    # Also not those of a set that was finished, and then begun to grow
    interrupt_after(0, large, out, draw=fake_draw)
    with user_error("already holds 9; 3 ends"):
        faked(replace(large, per_class=2), out)
    faked(replace(large, per_class=3), tmp_path / "small")
    assert contents(faked(replace(large, per_class=3), out).out) == contents(tmp_path / "small")
