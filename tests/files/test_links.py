"""Sets from anybody may hold links that lead elsewhere. No command reads, writes, removes or copies through one.

What must not change is `victim`: a folder outside of everything that a command was given.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_engine import fake_draw
from interrupted import contents
from items import write_pets
from refusals import refused, user_error

from seediff.config.runs import GenerateConfig
from seediff.dataset.encoding import encode_soft
from seediff.files.names import CARD, CONFIG
from seediff.files.outputs import fresh_name, stage_output
from seediff.files.reading import file_of, inside
from seediff.run.generate_job import generate

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need rights there")

SECRET = b"-----BEGIN PRIVATE KEY-----"
CLASSES = ("cat", "dog")
HELD = dict.fromkeys(
    ("key", "000000.png", "000000.json", "000000.safetensors", "images/000000.png", "deep/a/key"), SECRET
)


@pytest.fixture
def victim(tmp_path):
    """A folder with files of its owner, of the names that outputs have too."""
    for name in HELD:
        (tmp_path / "victim" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "victim" / name).write_bytes(SECRET)
    return tmp_path / "victim"


@pytest.fixture
def pets(tmp_path):
    """A set of six samples of two classes, with soft masks."""
    folder = write_pets(tmp_path / "pets", 6)
    (folder / "soft").mkdir()
    for number in range(6):
        soft = encode_soft(np.full((16, 20), 0.5))
        (folder / f"soft/{number:06d}_{1 + number % 2}.png").write_bytes(soft)
    return folder


def run(out):
    """Continues what is in `out`."""
    config = GenerateConfig(classes=CLASSES, per_class=2, batch_size=2, keep_soft=True, keep_attention=True)
    generate(config, out, draw=fake_draw)


@pytest.fixture
def begun(tmp_path):
    """What `run` leaves undisturbed, and a folder that it would take for its own, begun and not finished."""
    run(tmp_path / "whole")
    (tmp_path / "out/.batches").mkdir(parents=True)
    (tmp_path / "out/.batches/000000.json").write_text("no record")
    shutil.copy(tmp_path / "whole" / CONFIG, tmp_path / "out")
    return contents(tmp_path / "whole"), tmp_path / "out"


def test_a_run_writes_through_no_link(begun, victim):
    whole, out = begun
    for place in (*sorted({name.partition("/")[0] for name in whole if "/" in name}), ".batches"):
        kept = (out / place).exists() and (out / place).rename(out.parent / "kept")
        (out / place).parent.mkdir(exist_ok=True)
        (out / place).symlink_to(victim / "key" if "." in place[1:] else victim)
        with user_error("leads out of"):
            run(out)
        assert contents(victim) == HELD
        (out / place).unlink()
        if kept:
            kept.rename(out / place)
    (out / CARD).symlink_to(victim / "key")  # replaced, like any file of this name
    os.mkfifo(out / "classes.txt")
    run(out)
    assert contents(out) == whole
    assert contents(victim) == HELD


def test_leftovers_of_killed_runs_vanish(begun, victim, tmp_path):
    whole, out = begun
    for folder in {"", *(f"{Path(name).parent.as_posix()}/" for name in whole if "/" in name)}:
        (out / folder).mkdir(parents=True, exist_ok=True)
        (out / folder / fresh_name()).write_bytes(b"half")
    run(out)
    assert contents(out) == whole
    left = tmp_path / ".new.part"  # of a staged output; what is behind its links stays
    (left / "images").mkdir(parents=True)
    (left / "deep").symlink_to(victim)
    with stage_output(tmp_path / "new") as part:
        (part / "a").touch()
    assert not left.exists()
    assert os.listdir(tmp_path / "new") == ["a"]
    assert contents(victim) == HELD


COPYING = {"split": ["--val", "0.4"], "export": ["--to", "voc", "--link"], "augment": ["--add", "flip:1"]}
PLANTED = {"attention": "", "images/000000.png": "000000.png", "masks/000000.png": "key"}


@pytest.mark.parametrize("command", COPYING)
@pytest.mark.parametrize("planted", PLANTED)
def test_nothing_is_copied_through_a_link(command, planted, pets, victim, tmp_path, capsys):
    if (place := pets / planted).is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(victim / PLANTED[planted])
    assert "leads out of" in refused(capsys, command, pets, *COPYING[command], f"--out {tmp_path}/out --quiet")
    assert not (tmp_path / "out").exists()
    assert "leads out of" in refused(capsys, f"check {pets} --quiet")
    assert contents(victim) == HELD


def test_names_that_lead_out_or_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to("..")
    for names, said in (
        (("../a", "/a", "a/../../b", "up/a", "up"), "leads out of "),
        (("images/\0", "a" * 5000, "loop"), "is not a usable path"),
        (("", None, 3, "https://a.org/1.png"), "must be the path of an image inside the dataset, not "),
    ):
        for name in names:
            with user_error(f"^row 1: 'mask' {said}"):
                file_of(tmp_path, name, "row 1", "mask")
    with user_error(r"/up/a: leads out of .*`cp -rL "):
        inside(tmp_path, tmp_path / "up/a")
    assert inside(tmp_path, "deep/../new") == tmp_path / "deep/../new"


@pytest.mark.parametrize(
    "command", ["merge {a} {pets} --out {out}", "merge {pets} {a} --out {out}", "export {pets} --to coco --out {a}/new"]
)
def test_links_in_a_circle_are_refused_in_a_line(pets, tmp_path, command, capsys):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    paths = {"a": tmp_path / "a", "pets": pets, "out": tmp_path / "out"}
    assert str(tmp_path / "a") in refused(capsys, command.format(**paths))
    assert not (tmp_path / "out").exists()
