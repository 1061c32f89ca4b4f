"""Sets from anybody may hold links that lead elsewhere. No command writes, removes, moves or copies through one, whatever its name.

What must not change is `victim`: a folder and a file outside of everything that a command was given.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_engine import fake_draw
from formats import EVERY, needs
from interrupted import contents
from photo_set import write_photos
from shapes import CLASSES as SHAPES
from shapes import items, small

from recipes.tables.sources import Places
from recipes.tables.stored_results import open_kept
from seediff.cli import main
from seediff.config.augment import AugmentConfig, parse_recipe
from seediff.config.constants import SegmentConfig
from seediff.config.generate import GenerateConfig
from seediff.config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from seediff.dataset import native
from seediff.dataset.sample import Sample
from seediff.dataset.store import open_native, write_native
from seediff.errors import UserError
from seediff.files.output_folders import staged
from seediff.files.outputs import make_folders, move_inside, remove_tree, write_inside
from seediff.files.photographs import find_photos
from seediff.run.augment import augment
from seediff.run.generate import generate
from seediff.run.mask import mask_photos
from seediff.run.segment import segment_photos
from seediff.train.data import Stage
from seediff.train.run import train

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need rights there")

SECRET = b"-----BEGIN PRIVATE KEY-----"
CLASSES = ("cat", "dog")
COMMANDS = ("generate", "mask", "segment", "augment", "train")
"""Those that continue what is in --out."""


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder with files of its owner, of the names that outputs have too."""
    folder = tmp_path / "victim"
    for name in ("key", "000000.png", "000000.json", "images/000000.png", "deep/a/key"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(SECRET)
    return folder


def unharmed(victim: Path) -> bool:
    names = {"key", "000000.png", "000000.json", "images/000000.png", "deep/a/key"}
    return contents(victim) == dict.fromkeys(names, SECRET) and sorted(p.name for p in victim.iterdir()) == sorted(
        {name.partition("/")[0] for name in names}
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "in", 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of six samples of two classes."""
    out = tmp_path_factory.mktemp("source") / "pets"
    made = []
    for number in range(6):
        labels = np.zeros((24, 32), np.uint8)
        labels[4:15, 3 + number : 20] = 1 + number % 2
        image = np.random.default_rng(number).integers(0, 255, (24, 32, 3)).astype(np.uint8)
        made.append(Sample(native.encode_image(image, "png"), labels, name=f"{number:06d}"))
    write_native(out, CLASSES, made, about={})
    return out


@pytest.fixture
def pets(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "pets"))


@pytest.fixture(scope="module")
def run(source: Path, photos: Path, mini_folder: Path) -> Callable[[str, Path], object]:
    """Runs one of COMMANDS into a folder."""
    found = find_photos([photos]).photos
    model = {"model": str(mini_folder), "batch_size": 1, "device": "cpu", "threads": 1}
    drawn = GenerateConfig(classes=CLASSES, per_class=2, batch_size=2, keep_soft=True, keep_attention=True)
    masked = MaskPhotosConfig(CLASSES, presence=0.0, timesteps=(100,), keep_soft=True, **model)
    segmented = SegmentPhotosConfig(segment=SegmentConfig(method="kmeans", k=2), names=("dog",), **model)
    recipe = AugmentConfig(add=parse_recipe("flip:3"), batch_size=4)
    runs: dict[str, Callable[[Path], object]] = {
        "generate": lambda out: generate(drawn, out, draw=fake_draw),
        "mask": lambda out: mask_photos(masked, found, out),
        "segment": lambda out: segment_photos(segmented, found, out),
        "augment": lambda out: augment(recipe, source, out),
        "train": lambda out: train(small(architecture="segformer"), [Stage(items(4), SHAPES, steps=1)], out, workers=0),
    }
    return lambda command, out: runs[command](out)


LAST = {
    "generate": "metadata.jsonl",
    "mask": "metadata.jsonl",
    "segment": "segments.json",
    "augment": "metadata.jsonl",
    "train": "README.md",
}


@pytest.fixture(scope="module", params=COMMANDS)
def finished(request: pytest.FixtureRequest, run: Callable, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A command, and what it leaves undisturbed."""
    out = tmp_path_factory.mktemp(request.param) / "whole"
    run(request.param, out)
    return request.param, out


def unfinished(command: str, whole: Path, out: Path) -> Path:
    """A folder that a run of the command would take for its own, begun and not finished, with one record, which is no use."""
    out.mkdir()
    shutil.copy(whole / native.CONFIG, out)
    if command != "train":
        (out / ".batches").mkdir()
        (out / ".batches" / "000000.json").write_text("no record")
    return out


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_links_in_the_place_of_every_file(finished, run, victim, tmp_path, kind):
    """All files that the command writes, their half-written names of old and new, and a log that is appended to."""
    command, whole = finished
    out = unfinished(command, whole, tmp_path / "out")
    state = "checkpoint.safetensors" if command == "train" else ".batches/000000.json"
    for name in (*contents(whole), state, "failed.jsonl"):
        if name in (native.CONFIG, LAST[command], "training.json"):
            continue  # what a run looks at first
        for planted in (name, f"{name}.part"):
            (out / planted).parent.mkdir(parents=True, exist_ok=True)
            (out / planted).unlink(missing_ok=True)
            if kind == "symbolic":
                (out / planted).symlink_to(victim / "key")
            else:
                os.link(victim / "key", out / planted)
    (out / f"{native.CONFIG}.part").symlink_to(victim / "key")
    (out / f"{LAST[command]}.part").symlink_to(victim / "key")
    (out / ".0123456789abcdef.part").symlink_to(victim / "key")
    try:
        run(command, out)
    except UserError:  # the checkpoint, which is read
        assert command == "train"
        (out / "checkpoint.safetensors").unlink()
        run(command, out)
    assert unharmed(victim)
    made = contents(out)
    assert all(made[name] == data for name, data in contents(whole).items())
    assert not [name for name in contents(whole) if (out / name).is_symlink()]


def test_links_in_the_place_of_every_folder(finished, run, victim, tmp_path):
    command, whole = finished
    folders = sorted({parent.as_posix() for name in contents(whole) for parent in Path(name).parents} - {"."})
    assert folders or command == "train"
    for number, folder in enumerate([*folders, *[".batches"] * (command != "train")]):
        for planted in (True, False):  # with a finished batch, and with nothing
            out = unfinished(command, whole, tmp_path / f"{number}{planted}")
            if not planted or folder == ".batches":
                shutil.rmtree(out / ".batches", ignore_errors=True)
            (out / folder).parent.mkdir(parents=True, exist_ok=True)
            (out / folder).symlink_to(victim)
            with pytest.raises(UserError, match=r"(is a link, and nothing is|\.lock|another|no output)"):
                run(command, out)
            assert unharmed(victim), folder
            assert os.readlink(out / folder) == str(victim)


@pytest.mark.parametrize("kind", ["symbolic", "dangling", "hard", "fifo", "socket", "folder"])
def test_what_is_no_lock(finished, run, victim, tmp_path, kind, monkeypatch):
    command, whole = finished
    out, lock = unfinished(command, whole, tmp_path / "out"), tmp_path / "out" / ".lock"
    if kind == "symbolic":
        lock.symlink_to(victim / "key")
    elif kind == "dangling":
        lock.symlink_to(victim / "new")
    elif kind == "hard":
        os.link(victim / "key", lock)
    elif kind == "fifo":
        os.mkfifo(lock)
    elif kind == "socket":
        monkeypatch.chdir(out)
        socket.socket(socket.AF_UNIX).bind(".lock")
    else:
        lock.mkdir()
    with pytest.raises(UserError, match=r"\.lock in it is a link or no regular file, which no run of seediff left; remove it"):
        run(command, out)
    assert unharmed(victim)


def test_pipes_in_the_place_of_files_are_replaced(finished, run, tmp_path):
    command, whole = finished
    out = unfinished(command, whole, tmp_path / "out")
    read = {native.CONFIG, LAST[command]}
    for name in sorted(set(contents(whole)) - read):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(out / name)
    run(command, out)
    assert contents(out) == contents(whole)


def test_an_output_named_by_a_link_is_its_owners_wish(finished, run, tmp_path):
    command, whole = finished
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    run(command, tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert contents(tmp_path / "disk") == contents(whole)


def test_leftovers_of_killed_runs_vanish(finished, run, tmp_path):
    command, whole = finished
    out = unfinished(command, whole, tmp_path / "out")
    folders = {"", *(f"{Path(name).parent.as_posix()}/" for name in contents(whole) if "/" in name)}
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
        (out / f"{folder}.0123456789abcdef.part").write_bytes(b"half")
    run(command, out)
    assert contents(out) == contents(whole)


# --- Commands that make a new folder


STAGED = ("filter", "merge", "split", "predict", "import", *(f"export {kind}" for kind in EVERY))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("segmenter") / "one"
    train(small(architecture="segformer"), [Stage(items(4), SHAPES, steps=1)], out, workers=0)
    return out


@pytest.fixture(scope="module")
def words(source: Path, photos: Path, segmenter: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    voc = tmp_path_factory.mktemp("voc") / "voc"
    assert main(["export", str(source), "--to", "voc", "--out", str(voc), "--quiet"]) == 0

    def line(command: str) -> list[str]:
        name, _, kind = command.partition(" ")
        given = {
            "filter": [source],
            "merge": [source],
            "split": [source, "--val", "0.4"],
            "predict": [segmenter, photos, "--device", "cpu"],
            "import": [voc, "--from", "voc"],
            "export": [source, "--to", kind],
        }[name]
        return [name, *map(str, given), "--quiet"]

    return line


@pytest.mark.parametrize("command", STAGED)
def test_links_beside_a_new_folder(command, words, victim, tmp_path):
    """Under the hidden names that a new folder has while it is written: of now, and of earlier versions."""
    needs(command.removeprefix("export "))
    hidden = (".out.part", ".out.0123456789abcdef.part")
    for name in hidden:
        (tmp_path / name).symlink_to(victim)
    real = tmp_path / ".out.fedcba9876543210.part"  # a folder whose lock leads elsewhere is no run's
    real.mkdir()
    (real / ".lock").symlink_to(victim / "key")
    (real / "mine").write_text("keep")
    left = tmp_path / ".out.00000000ffffffff.part"  # what a killed run left goes, but not what is behind its links
    left.mkdir()
    (left / ".lock").write_text("123456")
    (left / "images").symlink_to(victim)
    (left / "key").symlink_to(victim / "key")
    assert main([*words(command), "--out", str(tmp_path / "out")]) == 0
    assert unharmed(victim)
    assert [os.readlink(tmp_path / name) for name in hidden] == [str(victim)] * 2
    assert (real / "mine").read_text() == "keep"
    assert not left.exists()
    assert not (tmp_path / "out" / ".lock").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*hidden, real.name, "out", "victim"])


@pytest.mark.parametrize("command", ["filter", "export voc"])
def test_a_new_folder_named_by_a_link(command, words, tmp_path):
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "empty")
    assert main([*words(command), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "empty" / "classes.txt").is_file()
    assert [p.name for p in (tmp_path / "disk").iterdir()] == ["empty"]


# --- What is copied


def keep_soft(pets: Path) -> Path:
    for number in range(6):
        soft = pets / "soft" / f"{number:06d}_{1 + number % 2}.png"
        soft.parent.mkdir(exist_ok=True)
        soft.write_bytes(native.encode_soft(np.full((24, 32), 0.5)))
    return pets


COPYING = {
    "split": ["--val", "0.4"],
    "merge": [],
    "filter": [],
    "export": ["--to", "voc"],
    "augment": ["--add", "flip:1", "--batch-size", "4"],
}


PLANTED = (
    ("attention/000000.safetensors", "key"),
    ("soft/000000_1.png", "key"),
    ("steps/000000_1.safetensors", "deep/a/key"),
    ("attention", ""),
    ("images/000000.png", "key"),
    ("images/000000.png", "000000.png"),
    ("images", "images"),
    ("masks/000000.png", "key"),
    ("masks", ""),
)


@pytest.mark.parametrize("command", list(COPYING))
@pytest.mark.parametrize(
    ("planted", "behind", "link"), [*((*where, False) for where in PLANTED), *((*where, True) for where in PLANTED[4:7])]
)
def test_nothing_is_copied_through_a_link(command, planted, behind, link, pets, victim, tmp_path, capsys):
    place = keep_soft(pets) / planted
    place.parent.mkdir(exist_ok=True)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    if planted == "attention":
        (victim / "000000.safetensors").write_bytes(SECRET)
    place.symlink_to(victim / behind)
    before = contents(victim)
    options = [*COPYING[command], *["--link"] * link]
    assert main([command, str(pets), *options, "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "leads out of the dataset folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert contents(victim) == before
    assert main(["check", str(pets), "--quiet"]) == 2
    assert "path" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["split", "merge"])
def test_a_link_inside_a_set_is_copied_as_its_file(command, pets, tmp_path):
    keep_soft(pets)
    (pets / "soft" / "000002_1.png").unlink()
    (pets / "soft" / "000002_1.png").symlink_to("000000_1.png")
    assert main([command, str(pets), *COPYING[command], "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert len([p for p in (tmp_path / "out").rglob("soft/*.png") if p.is_file() and not p.is_symlink()]) == 6


def test_a_pipe_is_not_copied(pets, tmp_path, capsys):
    keep_soft(pets)
    (pets / "soft" / "000000_1.png").unlink()
    os.mkfifo(pets / "soft" / "000000_1.png")
    assert main(["merge", str(pets), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "000000_1.png: is no file that could be copied" in capsys.readouterr().err


# --- Commands that change a set, and others that write


IN_PLACE = ("check --fix", "split --in-place", "check --fix again", "preview")


@pytest.mark.parametrize("command", IN_PLACE)
def test_links_inside_a_set_that_is_changed(command, pets, victim, tmp_path, run):
    if command in ("preview", "check --fix again"):
        shutil.rmtree(pets)
        run("generate", pets)
        (pets / native.PREVIEW).unlink(missing_ok=True)
    if command == "check --fix again":
        (pets / "images/000001.png").write_bytes(b"damaged")
    (pets / "images" / "orphan.png").write_bytes(b"")
    for name in {*contents(pets), ".lock", native.PREVIEW}:
        (pets / f"{name}.part").symlink_to(victim / "key")
    (pets / native.PREVIEW).unlink(missing_ok=True)
    (pets / native.PREVIEW).symlink_to(victim / "key")
    (pets / native.METADATA).rename(pets / "rows")
    os.link(pets / "rows", pets / native.METADATA)
    rows = (pets / "rows").read_bytes()
    name, *options = command.removesuffix(" again").split()
    main([name, str(pets), *options, *["--quiet"] * (name != "preview")])
    assert unharmed(victim)
    assert (pets / "rows").read_bytes() == rows
    assert not (pets / ".lock").exists()


@pytest.mark.parametrize("planted", ["orphans", "orphans/images", "masks", ".batches", ".lock"])
def test_folders_of_links_inside_a_set_that_is_repaired(planted, pets, victim, run, capsys):
    shutil.rmtree(pets)
    run("generate", pets)
    (pets / "images" / "orphan.png").write_bytes(b"")
    if planted == ".batches":
        (pets / "images/000001.png").write_bytes(b"damaged")
    if planted == "masks":
        shutil.rmtree(pets / "masks")
    (pets / planted).parent.mkdir(exist_ok=True)
    (pets / planted).symlink_to(victim / "key" if planted == ".lock" else victim)
    assert main(["check", str(pets), "--fix", "--quiet"]) == 2
    assert "fault" not in (said := capsys.readouterr().err)
    assert said.count("\n") == 1
    assert unharmed(victim)


def test_links_in_the_place_of_a_report(pets, segmenter, victim, tmp_path, capsys):
    """A folder that holds anything is no place for a report; links beside its JSON file are not written through."""
    shutil.rmtree(pets)
    write_native(pets, SHAPES, items(2), about={})
    out = tmp_path / "report"
    out.mkdir()
    for folder, names in ((out, ["scores.json", "images.csv", "worst.jpg"]), (tmp_path, ["scores.json.part"])):
        for name in names:
            (folder / name).symlink_to(victim / "key")
    line = ["evaluate", str(segmenter), "--data", str(pets), "--out", str(out), "--json", str(tmp_path / "scores.json")]
    assert main([*line, "--device", "cpu", "--quiet"]) == 2
    assert "is there already and not empty" in capsys.readouterr().err
    shutil.rmtree(out)
    assert main([*line, "--device", "cpu", "--quiet"]) == 0
    assert unharmed(victim)


@pytest.mark.parametrize("kind", ["sets", "scenes", "relabelled", "augmented", "segmenters", "scores", "costs"])
def test_a_study_keeps_nothing_behind_a_link(kind, victim, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / kind).symlink_to(victim)
    writes = {
        "scores": lambda: open_kept(work).add_scores("one", "test", {}),
        "costs": lambda: open_kept(work).add_seconds("one", "training", 1.0),
    }
    with pytest.raises(UserError, match="is a link, and nothing is written"):
        writes.get(kind, lambda: Places(work, {}).folder(kind, "0123456789ab"))()
    assert unharmed(victim)


# --- The module that writes


def test_names_that_lead_out(tmp_path):
    for name in ("../a", "/a", "a/../../b", "", "images/\0"):
        with pytest.raises(UserError, match="is no path inside it"):
            write_inside(tmp_path, name, b"")
        with pytest.raises(UserError, match="is no path inside it"):
            move_inside(tmp_path, name, "b")


def test_a_folder_that_is_a_link_is_not_removed(victim, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images").symlink_to(victim)
    with pytest.raises(UserError, match="is a link"):
        remove_tree(tmp_path / "out", "images")
    with pytest.raises(UserError, match="is a link"):
        make_folders(tmp_path / "out", "images/deep")
    remove_tree(tmp_path / "out", "masks")
    assert unharmed(victim)


def test_a_new_folder_is_not_emptied_through_links(victim, tmp_path):
    def interrupted() -> None:
        with staged(tmp_path / "out") as part:
            (part / "images").symlink_to(victim)
            (part / "deep").mkdir()
            (part / "deep" / "link").symlink_to(victim)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert unharmed(victim)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["victim"]


def test_a_set_is_opened_with_its_own_links(pets):
    (pets / "images" / "000000.png").rename(pets / "images" / "first.png")
    (pets / "images" / "000000.png").symlink_to("first.png")
    assert len(open_native(pets)[1]) == 6
