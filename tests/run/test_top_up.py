"""Samples that people rejected are drawn again, alone, and nothing else changes."""

import shutil
from dataclasses import replace

import pytest
from fake_engine import fake_draw
from interrupted import check_interrupted, contents

from seediff.cli import main
from seediff.config.generate import GenerateConfig
from seediff.dataset.native import METADATA
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.reviews import REVIEWS, Action, append_action, in_effect
from seediff.dataset.split import set_splits
from seediff.dataset.store import open_native
from seediff.errors import UserError
from seediff.files.outputs import CONFIG as SETTINGS
from seediff.prompts.specs import redraw, sample_specs
from seediff.run import reopen
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
REJECT = {"reject": True, "attempts": 2}


def review(out, verdicts):
    """Append a decision about each sample: name → verdict."""
    for name, verdict in verdicts.items():
        version = action.version + 1 if (action := in_effect(out).get(name)) else 1
        append_action(out, Action(sample=name, version=version, action="decide", verdict=verdict))


def interrupt(specs):
    raise KeyboardInterrupt


def of_samples(files, names):
    """The files that belong to these samples."""
    return {path for path in files if "/" in path and path.partition("/")[2][:6] in names}


@pytest.mark.parametrize(
    "changes", [{}, REJECT, {"batch_size": 1}, {"classes_per_image": 2}], ids=["plain", "reject", "single", "two"]
)
def test_only_rejected_samples_are_drawn_again(tmp_path, changes):
    config, out = replace(CONFIG, **changes), tmp_path / "out"
    rows = {row["file_name"][7:13]: row for row in generate(config, out, draw=fake_draw).rows}
    first, *_, last = names = sorted(rows)
    before = contents(out)
    review(out, {first: "rejected", names[1]: "accepted", last: "rejected"})
    drawn = []

    def draw(specs):
        drawn.append([(spec.index, spec.seed) for spec in specs])
        return fake_draw(specs)

    result = generate(config, out, draw=draw, top_up=True)
    attempt = config.attempts if config.reject else 1
    specs = sample_specs(config)
    assert drawn == [[(int(name), redraw(specs[int(name)], 0, attempt).seed)] for name in (first, last)]
    assert result.done == 2
    after = contents(out)
    assert after.keys() - before.keys() == {REVIEWS}
    changed = {path for path in before if after[path] != before[path]}
    assert {f"images/{first}.png", f"images/{last}.png", "metadata.jsonl"} <= changed
    assert changed <= of_samples(before, {first, last}) | {"metadata.jsonl", "README.md", "preview.html"}
    now = {row["file_name"][7:13]: row for row in result.rows}
    assert list(now) == names
    assert {name: row["attempt"] for name, row in now.items() if row != rows[name]} == {first: attempt, last: attempt}
    assert {name: action.verdict for name, action in in_effect(out).items()} == {
        first: None,
        names[1]: "accepted",
        last: None,
    }
    assert not check_dataset(out).errors

    again = generate(config, out, draw=fake_draw, top_up=True)  # nothing is rejected any more
    assert (again.done, contents(out)) == (0, after)
    review(out, {first: "rejected"})
    assert next(row["attempt"] for row in generate(config, out, draw=fake_draw, top_up=True).rows) == attempt + 1


@pytest.mark.parametrize("changes", [{}, REJECT], ids=["plain", "reject"])
@pytest.mark.parametrize("plainly", [False, True], ids=["same command", "without the option"])
def test_a_run_that_is_stopped_goes_on(tmp_path, monkeypatch, changes, plainly):
    config = replace(CONFIG, **changes)
    rows = generate(config, tmp_path / "first", draw=fake_draw).rows
    names = [row["file_name"][7:13] for row in rows]
    review(tmp_path / "first", dict.fromkeys([names[0], names[1], names[-1]], "rejected"))
    begun = []

    def top_up(out):
        option = not plainly or out not in begun or (out / "metadata.jsonl").exists()
        begun.append(out)
        if not out.exists():
            shutil.copytree(tmp_path / "first", out)
        generate(config, out, draw=fake_draw, top_up=option)

    check_interrupted(top_up, tmp_path, monkeypatch, range(0, 20, 3 + plainly))


def test_a_line_that_was_cut_short_is_written_again(tmp_path, monkeypatch):
    generate(CONFIG, tmp_path / "cut", draw=fake_draw)
    review(tmp_path / "cut", {"000001": "rejected", "000004": "rejected"})
    shutil.copytree(tmp_path / "cut", tmp_path / "whole")

    def cut_short(folder, action):
        if action.sample == "000004":
            with (folder / REVIEWS).open("a") as file:
                file.write('{"sample": "0000')
            raise KeyboardInterrupt
        append_action(folder, action)

    monkeypatch.setattr(reopen, "append_action", cut_short)
    with pytest.raises(KeyboardInterrupt):
        generate(CONFIG, tmp_path / "cut", draw=fake_draw, top_up=True)
    monkeypatch.undo()
    for out in ("cut", "whole"):
        generate(CONFIG, tmp_path / out, draw=fake_draw, top_up=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("changes", [{}, REJECT], ids=["plain", "reject"])
def test_a_stopped_run_may_have_an_old_row_beside_the_new_one(tmp_path, changes):
    config, out, whole = replace(CONFIG, batch_size=3, **changes), tmp_path / "out", tmp_path / "whole"
    larger = replace(config, per_class=5)
    last = generate(config, out, draw=fake_draw).rows[-1]["file_name"][7:13]
    review(out, {last: "rejected"})
    with pytest.raises(KeyboardInterrupt):
        generate(larger, out, draw=interrupt)
    generate(larger, out, draw=fake_draw, top_up=True)
    generate(larger, whole, draw=fake_draw)
    review(whole, {last: "rejected"})
    generate(larger, whole, draw=fake_draw, top_up=True)
    assert contents(out) == contents(whole)


def test_samples_keep_their_split(tmp_path):
    out = tmp_path / "out"
    generate(CONFIG, out, draw=fake_draw)
    splits = {f"{number:06d}": ("val", "train")[number % 3 > 0] for number in range(9)}
    set_splits(out, splits)
    review(out, {"000002": "rejected", "000007": "rejected"})
    generate(CONFIG, out, draw=fake_draw, top_up=True)
    assert {item.name: item.metadata["split"] for item in open_native(out)[1]} == splits


def test_a_reviewed_set_without_a_whole_batch_takes_no_other_options(tmp_path):
    config, out = replace(CONFIG, batch_size=20), tmp_path / "out"
    generate(config, out, draw=fake_draw)
    review(out, {"000001": "accepted"})
    before = contents(out)
    (out / METADATA).unlink()
    with pytest.raises(UserError, match="holds the output of another configuration"):
        generate(replace(config, seed=7), out, draw=fake_draw)
    generate(config, out, draw=fake_draw)
    assert contents(out) == before


def test_a_dataset_grows_before_and_after(tmp_path):
    config, larger = replace(CONFIG, batch_size=3), replace(CONFIG, batch_size=3, per_class=5)
    for out, steps in (("before", (larger, True)), ("after", (config, True, larger))):
        generate(config, tmp_path / out, draw=fake_draw)
        for step in steps:
            if step is True:
                review(tmp_path / out, {"000002": "rejected"})
            generate(
                larger if step is larger or out == "before" else config,
                tmp_path / out,
                draw=fake_draw,
                top_up=step is True,
            )
    assert contents(tmp_path / "before") == contents(tmp_path / "after")


def test_a_corrected_mask_of_the_old_picture_is_not_used(tmp_path):
    from seediff.look.samples import open_subject
    from seediff.look.session import Session

    out = tmp_path / "out"
    generate(CONFIG, out, draw=fake_draw)

    def session():
        return Session(open_subject(out), by="ann")

    opened = session()
    version = opened.act(1, 0, "brush", labels=opened.labels(1) * 0 + 2)["version"]
    opened.act(1, version, "reject", verdict="rejected")
    opened.close()
    generate(CONFIG, out, draw=fake_draw, top_up=True)
    sample = open_native(out)[1][1]
    assert (sample.metadata["mask"], sample.metadata["review"]["verdict"]) == ("masks/000001.png", None)
    opened = session()
    state = opened.state(1)
    assert (state["verdict"], state["corrected"], state["undo"], state["version"]) == (None, False, False, 3)
    assert opened.act(1, 3, "accept", verdict="accepted")["verdict"] == "accepted"
    opened.close()


def test_what_cannot_be_drawn_again_is_refused(tmp_path):
    out = tmp_path / "out"
    generate(CONFIG, out, draw=fake_draw)
    review(out, {"000001": "rejected", "trip/1": "rejected", "000099": "rejected"})
    before = contents(out)
    with pytest.raises(UserError, match="one after the other"):
        generate(replace(CONFIG, per_class=5), out, draw=fake_draw, top_up=True)
    text = (out / SETTINGS).read_text()
    (out / SETTINGS).write_text(text.replace('version = "', 'version = "9'))
    with pytest.raises(UserError, match="another version"):
        generate(CONFIG, out, draw=fake_draw, top_up=True)
    (out / SETTINGS).write_text(text)
    assert contents(out) == before


def test_by_the_command_line(tmp_path, capsys):
    line = f"generate --classes dog --per-class 2 --steps 1 --threads 1 --out {tmp_path / 'out'}".split()
    assert main([*line, "--quiet"]) == 0
    assert main([*line, "--top-up"]) == 0
    assert "no sample is rejected" in capsys.readouterr().out
    review(tmp_path / "out", {"000001": "rejected"})
    before = contents(tmp_path / "out")
    assert main([*line, "--top-up", "--dry-run"]) == 0
    assert capsys.readouterr().out == "To be drawn again: 000001\n"
    assert contents(tmp_path / "out") == before
    config = str(tmp_path / "out" / SETTINGS)
    assert main(["generate", "--config", config, "--out", str(tmp_path / "out"), "--top-up"]) == 0
    assert "Drawing again: 000001" in capsys.readouterr().out
    after = contents(tmp_path / "out")
    assert before["images/000000.png"] == after["images/000000.png"]
    assert before["images/000001.png"] != after["images/000001.png"]
