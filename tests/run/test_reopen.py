import shutil
from dataclasses import replace
from functools import partial

import pytest
from fake_engine import fake_draw
from interrupted import check_interrupted, contents
from refusals import user_error

from seediff.cli.summary import show_generated
from seediff.config.generate_config import GenerateConfig
from seediff.dataset import native
from seediff.dataset.native import open_native
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.reviews import REVIEWS, Action, append_action, in_effect
from seediff.dataset.split import set_splits
from seediff.files.outputs import BATCHES
from seediff.prompts.specs import redraw, sample_specs
from seediff.run import reopen
from seediff.run.generate_job import generate

KEPT = {"keep_soft": True, "keep_attention": True, "device": "cpu", "threads": 1}
CONFIG = GenerateConfig(classes=("dog", "cat", "bus"), per_class=3, batch_size=2, **KEPT)
LARGER = replace(CONFIG, per_class=5)
REJECT = {"reject": True, "attempts": 2}
faked = partial(generate, draw=fake_draw)


def interrupt(specs):
    raise KeyboardInterrupt


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


@pytest.mark.parametrize(
    ("name", "per_class", "said"),
    [
        (None, 3, "metadata.jsonl, row 2: needs 'file_name'"),
        (None, 5, "metadata.jsonl, row 2: needs 'file_name'"),
        ("images/x.png", 3, 'metadata.jsonl: "images/x.png" is no'),
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

    check_interrupted(grow, tmp_path, monkeypatch, range(0, 25, 2))


def review(out, verdicts):
    """Append a decision about each sample: name → verdict."""
    for name, verdict in verdicts.items():
        version = action.version + 1 if (action := in_effect(out).get(name)) else 1
        append_action(out, Action(sample=name, version=version, action="decide", verdict=verdict))


def without_records(out):
    return {path: data for path, data in contents(out).items() if not path.startswith(f"{BATCHES}/")}


def of_samples(files, names):
    """The files that belong to these samples."""
    return {path for path in files if "/" in path and path.partition("/")[2][:6] in names}


@pytest.mark.parametrize("changes", [{}, REJECT, {"batch_size": 1}], ids=["plain", "reject", "single"])
def test_only_rejected_samples_are_drawn_again(tmp_path, changes):
    config, out = replace(CONFIG, **changes), tmp_path / "out"
    rows = {row["file_name"][7:13]: row for row in faked(config, out).rows}
    first, *_, last = names = sorted(rows)
    before = without_records(out)
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
    after = without_records(out)
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

    again = faked(config, out, top_up=True)  # nothing is rejected any more
    assert (again.done, without_records(out)) == (0, after)


@pytest.mark.parametrize(("changes", "plainly"), [({}, True), (REJECT, False)], ids=["without the option", "reject"])
def test_a_run_that_is_stopped_goes_on(tmp_path, monkeypatch, changes, plainly):
    config = replace(CONFIG, **changes)
    rows = faked(config, tmp_path / "first").rows
    names = [row["file_name"][7:13] for row in rows]
    review(tmp_path / "first", dict.fromkeys([names[0], names[1], names[-1]], "rejected"))
    begun = []

    def top_up(out):
        option = not plainly or out not in begun or (out / "metadata.jsonl").exists()
        begun.append(out)
        if not out.exists():
            shutil.copytree(tmp_path / "first", out)
        faked(config, out, top_up=option)

    check_interrupted(top_up, tmp_path, monkeypatch, range(0, 20, 3 + plainly))


def test_a_line_that_was_cut_short_is_written_again(tmp_path, monkeypatch):
    faked(CONFIG, tmp_path / "cut")
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
        faked(CONFIG, tmp_path / "cut", top_up=True)
    monkeypatch.undo()
    for out in ("cut", "whole"):
        faked(CONFIG, tmp_path / out, top_up=True)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_stopped_run_may_have_an_old_row_beside_the_new_one(tmp_path):
    """And a dataset has the same bytes whether it grows before or after."""
    config, out, whole = replace(CONFIG, batch_size=3, **REJECT), tmp_path / "out", tmp_path / "whole"
    larger = replace(config, per_class=5)
    last = faked(config, out).rows[-1]["file_name"][7:13]
    review(out, {last: "rejected"})
    with pytest.raises(KeyboardInterrupt):
        generate(larger, out, draw=interrupt)
    faked(larger, out, top_up=True)
    faked(larger, whole)
    review(whole, {last: "rejected"})
    faked(larger, whole, top_up=True)
    assert contents(out) == contents(whole)


def test_samples_keep_their_split(tmp_path):
    out = tmp_path / "out"
    faked(CONFIG, out)
    splits = {f"{number:06d}": ("val", "train")[number % 3 > 0] for number in range(9)}
    set_splits(out, splits)
    review(out, {"000002": "rejected", "000007": "rejected"})
    faked(CONFIG, out, top_up=True)
    assert {item.name: item.metadata["split"] for item in open_native(out)[1]} == splits


def test_a_corrected_mask_of_the_old_image_is_not_used(tmp_path):
    from seediff.look.samples import open_subject
    from seediff.look.session import Edit, Session

    out = tmp_path / "out"
    faked(CONFIG, out)

    def session():
        return Session(open_subject(out), by="ann")

    opened = session()
    version = opened.act(1, 0, Edit("brush", labels=opened.labels(1) * 0 + 2))["version"]
    opened.act(1, version, Edit("reject", verdict="rejected"))
    opened.add_class("zebra")
    opened.close()
    faked(CONFIG, out, top_up=True)
    classes, samples = open_native(out)
    sample = samples[1]
    assert classes == (*CONFIG.classes, "zebra")
    assert (sample.metadata["mask_file_name"], sample.metadata["review"]["verdict"]) == ("masks/000001.png", None)
    opened = session()
    state = opened.state(1)
    assert (state["verdict"], state["corrected"], state["undo"], state["version"]) == (None, False, False, 3)
    assert opened.act(1, 3, Edit("accept", verdict="accepted"))["verdict"] == "accepted"
    opened.close()


def test_what_cannot_be_drawn_again_is_refused(tmp_path):
    out = tmp_path / "out"
    faked(CONFIG, out)
    review(out, {"000001": "rejected", "trip/1": "rejected", "000099": "rejected"})
    before = contents(out)
    with user_error("one after the other"):
        faked(replace(CONFIG, per_class=5), out, top_up=True)
    text = (out / native.CONFIG).read_text()
    (out / native.CONFIG).write_text(text.replace('version = "', 'version = "9'))
    with user_error("another version"):
        faked(CONFIG, out, top_up=True)
    (out / native.CONFIG).write_text(text)
    assert contents(out) == before
