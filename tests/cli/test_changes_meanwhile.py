"""Commands that read a set while somebody works on it in `seediff look`."""

from types import SimpleNamespace

import pytest
from command_line import runner
from items import write_pets

from seediff.cli.evaluate import segments, semantic
from seediff.cli.formats import export_
from seediff.cli.model_commands import tune
from seediff.cli.quality import filter_
from seediff.cli.sets import augment, merge, split
from seediff.cli.train_commands import train
from seediff.dataset import native
from seediff.dataset.native import classes_text, read_classes
from seediff.dataset.reviews import Action, append_action
from seediff.errors import Notice
from seediff.models.describe import Preset

run = runner(merge, split, export_, filter_, augment, train, semantic, segments, tune)


@pytest.mark.parametrize(
    "line",
    [
        "merge {pets} --out {out}",
        "split {pets} --out {out}",
        "export {pets} --to masks --out {out}",
        "filter {pets} --out {out}",
        "augment {pets} --add flip:100% --out {out}",
        "train {pets} --out {out} --dry-run",
        "semantic {pets}2 --data {pets} --out {out}",
        "tune {pets} --model mini --out {out}.toml",
        "segments {pets}2/masks --labels {pets} --json {out}.json",
    ],
)
def test_a_command_reads_one_state_of_a_set_and_tells_that_it_changed(line, tmp_path, monkeypatch):
    pets = write_pets(tmp_path / "pets", 10)
    write_pets(tmp_path / "pets2", 10)
    listed = read_classes(pets)
    done = []

    def read_and_change(folder):
        classes = read_classes(folder)
        if not done:  # a class is added and painted just after the classes were read
            (pets / native.CLASSES).write_bytes(classes_text([*classes, "fox"]))
            brush = Action(sample="000000", version=1, action="brush", mask="m", hash=64 * "0", classes=("fox",))
            append_action(pets, brush)
            done.append(True)
        return classes

    monkeypatch.setattr(native, "read_classes", read_and_change)
    tuned = SimpleNamespace(tuned=Preset(model="mini"), lines=(), failed=())
    monkeypatch.setattr("seediff.run.tune.load_masker", lambda *_: (None, ""))
    monkeypatch.setattr("seediff.run.tune.tune", lambda *_, **__: tuned)
    with pytest.warns(Notice, match="pets: changed while it was in use; the result has none of what was saved since"):
        run(line.format(pets=pets, out=tmp_path / "out"))
    monkeypatch.undo()
    for made in (tmp_path / "out").rglob("classes.txt"):
        assert made.read_text().splitlines() == ["background", *listed]
