import shutil
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import pytest
from fake_engine import fake_draw
from interrupted import check_interrupted, contents, interrupt_after
from refusals import user_error

from seediff.config.runs import GenerateConfig
from seediff.dataset import writing
from seediff.dataset.check import check_dataset
from seediff.dataset.native import METADATA, jsonl, open_native
from seediff.dataset.split import set_splits
from seediff.files.outputs import write_atomic
from seediff.report import page
from seediff.run.generate_job import generate

KEPT = {"keep_soft": True, "keep_attention": True, "device": "cpu", "threads": 1}
CONFIG = GenerateConfig(classes=("dog", "cat", "bus"), per_class=3, batch_size=2, **KEPT)
LARGER = replace(CONFIG, per_class=5)
REJECT = {"reject": True, "attempts": 2}
SEVERAL = {"classes_per_image": (1, 1, 2), "attempts": 2}
faked = partial(generate, draw=fake_draw)


@pytest.mark.parametrize(
    "changes",
    [
        REJECT,
        SEVERAL,
        pytest.param({"batch_size": 3}, marks=pytest.mark.slow),
        pytest.param({"prompts": ("a {class}", "the {class}")}, marks=pytest.mark.slow),
    ],
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
    indices = {int(row.file_name[7:13]) for row in before.rows}
    assert len(drawn & indices) < small.batch_size  # only the last batch, and only if it was not full


@pytest.mark.parametrize(
    "changes", [{}, pytest.param(SEVERAL, marks=pytest.mark.slow)], ids=["one class", "several classes"]
)
def test_growth_that_is_stopped_goes_on(tmp_path, monkeypatch, changes):
    faked(replace(CONFIG, **changes), tmp_path / "small")

    def grow(out):
        if not out.exists():
            shutil.copytree(tmp_path / "small", out)
        faked(replace(LARGER, **changes), out)

    check_interrupted(grow, tmp_path, monkeypatch, range(0, 25, 8))


def test_samples_keep_what_commands_wrote_into_their_rows_when_their_set_grows(tmp_path):
    out = tmp_path / "out"
    before = [row.replace(split="val", support={"dog": 0.5}) for row in faked(CONFIG, out).rows]
    write_atomic(out / METADATA, jsonl(before))
    rows = faked(LARGER, out).rows
    assert rows[:9] == before
    assert {(row.split, row.support) for row in rows[9:]} == {(None, None)}


@pytest.mark.parametrize("written", ["jsonl", "write_page"])
def test_a_run_that_was_killed_while_it_wrote_its_end_is_finished_by_the_next(tmp_path, monkeypatch, written):
    """Also if the folder held a smaller dataset before."""
    faked(LARGER, tmp_path / "whole")
    faked(CONFIG, tmp_path / "out")
    module = writing if written == "jsonl" else page
    with monkeypatch.context() as patch:
        patch.setattr(module, written, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            faked(LARGER, tmp_path / "out")
    assert faked(LARGER, tmp_path / "out").done == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_run_for_more_images_is_not_cut_short(tmp_path):
    interrupt_after(1, LARGER, tmp_path / "out", draw=fake_draw)
    before = contents(tmp_path / "out")
    with user_error(r"another configuration \(per_class: 5 → 2\); choose another folder"):
        faked(replace(CONFIG, per_class=2), tmp_path / "out")
    assert contents(tmp_path / "out") == before


EARLY = ("000000.png", "000001.png", "000002.png", "000003.png")


def test_a_stopped_run_is_ended_with_what_is_made_and_goes_on(tmp_path, monkeypatch):
    out = tmp_path / "out"
    with user_error("finish: there is no stopped run with a finished batch in .*; leave it out"):
        faked(LARGER, out, finish=True)
    faked(LARGER, tmp_path / "whole")
    interrupt_after(2, LARGER, out, draw=fake_draw)
    shutil.copytree(out, tmp_path / "again")

    def end(folder):
        if not folder.exists():
            shutil.copytree(tmp_path / "again", folder)
        faked(LARGER, folder, finish=True)

    check_interrupted(end, tmp_path / "ends", monkeypatch, (0, 0.5, 1.5, -1))
    for _ in range(2):
        result = faked(LARGER, out, finish=True)
        assert (result.made, result.done) == (4, 0)
        assert "| ended early | 4 of the 15 asked for were made |" in (out / "README.md").read_text()
        assert {finding.level for finding in check_dataset(out).findings} <= {"warning"}
    set_splits(out, {name.removesuffix(".png"): "val" for name in EARLY})
    assert faked(LARGER, out).done == 11
    assert [item.metadata.pop("split", None) for item in open_native(out)[1]] == ["val"] * 4 + [None] * 11
    shutil.rmtree(out)
    shutil.copytree(tmp_path / "again", out)
    faked(LARGER, out, finish=True)
    shutil.copytree(out, tmp_path / "grown")
    assert faked(replace(LARGER, per_class=6), tmp_path / "grown").asked == 0
    assert "ended early" not in (tmp_path / "grown/README.md").read_text()
    faked(LARGER, out)
    assert contents(out) == contents(tmp_path / "whole")
