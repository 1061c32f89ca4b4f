"""A dataset that grows has the bytes of one that was as large at first."""

import shutil
from dataclasses import replace

import pytest
from fake_engine import fake_draw
from interrupted import check_interrupted, contents

from seediff.config.generate import GenerateConfig
from seediff.dataset.reviews import REVIEWS
from seediff.errors import UserError
from seediff.run.generate import generate

CONFIG = GenerateConfig(
    classes=("dog", "cat", "bus"),
    per_class=3,
    batch_size=2,
    keep_soft=True,
    keep_attention=True,
    device="cpu",
    threads=1,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reject": True, "attempts": 2},
        {"classes_per_image": (1, 1, 2)},
        {"batch_size": 3},
        {"prompts": ("a {class}", "the {class}")},
    ],
    ids=["plain", "reject", "several classes", "whole batches", "templates"],
)
def test_more_images_per_class_join_those_that_are_there(tmp_path, changes):
    small, large = replace(CONFIG, **changes), replace(CONFIG, per_class=5, **changes)
    generate(large, tmp_path / "large", draw=fake_draw)
    before = generate(small, tmp_path / "grown", draw=fake_draw)
    drawn: set[int] = set()

    def draw(specs):
        drawn.update(spec.index for spec in specs)
        return fake_draw(specs)

    generate(large, tmp_path / "grown", draw=draw)
    assert contents(tmp_path / "grown") == contents(tmp_path / "large")
    indices = {int(row["file_name"][7:13]) for row in before.rows}
    assert len(drawn & indices) < small.batch_size  # only the last batch, and only if it was not full


@pytest.mark.parametrize("lost", ["metadata.jsonl", "masks/000000.png"], ids=["unfinished", "a sample was lost"])
def test_what_is_missing_is_made_as_well(tmp_path, lost):
    generate(replace(CONFIG, per_class=5), tmp_path / "large", draw=fake_draw)
    generate(CONFIG, tmp_path / "grown", draw=fake_draw)
    (tmp_path / "grown" / lost).unlink()
    generate(replace(CONFIG, per_class=5), tmp_path / "grown", draw=fake_draw)
    assert contents(tmp_path / "grown") == contents(tmp_path / "large")


def test_nothing_outside_is_read_or_removed(tmp_path):
    grown, outside = tmp_path / "grown", tmp_path / "outside"
    outside.mkdir()
    (outside / "000004.json").write_text("mine")
    generate(CONFIG, grown, draw=fake_draw)
    rows = (grown / "metadata.jsonl").read_text()
    (grown / "metadata.jsonl").write_text(rows.replace("masks/000001.png", "../outside/000004.json"))
    with pytest.raises(UserError, match="'mask' leads out of the dataset folder"):
        generate(replace(CONFIG, per_class=5), grown, draw=fake_draw)
    assert (grown / "metadata.jsonl").is_file()
    (grown / "metadata.jsonl").unlink()
    (grown / ".batches").symlink_to(outside)
    with pytest.raises(UserError, match="is a link that leads out of"):
        generate(replace(CONFIG, per_class=5), grown, draw=fake_draw)
    assert (outside / "000004.json").read_text() == "mine"


def test_a_reviewed_sample_is_not_drawn_again(tmp_path):
    generate(CONFIG, tmp_path / "out", draw=fake_draw)
    for sample, refused in (("000000", False), ("000008", True)):  # 9 samples in batches of 2
        (tmp_path / "out" / REVIEWS).write_text(
            f'{{"sample": "{sample}", "version": 1, "action": "accept", "verdict": "accepted"}}\n'
        )
        before = contents(tmp_path / "out")
        if refused:
            with pytest.raises(UserError, match=r"would draw 000008 again, which was reviewed.*seediff merge"):
                generate(replace(CONFIG, per_class=5), tmp_path / "out", draw=fake_draw)
            assert contents(tmp_path / "out") == before
        else:
            generate(replace(CONFIG, per_class=5), tmp_path / "grown", draw=fake_draw)


def test_fewer_images_and_other_options_are_refused(tmp_path):
    generate(CONFIG, tmp_path / "out", draw=fake_draw)
    for changes, said in (
        ({"per_class": 2}, "per_class: 3 → 2"),
        ({"per_class": 5, "seed": 1}, "seed: 0 → 1; per_class: 3 → 5"),
    ):
        with pytest.raises(UserError, match=said):
            generate(replace(CONFIG, **changes), tmp_path / "out", draw=fake_draw)


def test_growth_that_is_stopped_goes_on(tmp_path, monkeypatch):
    generate(CONFIG, tmp_path / "small", draw=fake_draw)

    def grow(out):
        if not out.exists():
            shutil.copytree(tmp_path / "small", out)
        generate(replace(CONFIG, per_class=5), out, draw=fake_draw)

    check_interrupted(grow, tmp_path, monkeypatch, range(25))
