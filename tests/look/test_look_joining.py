"""Pieces that somebody joins in the viewer are one object in every format that knows objects, and stay so on the way through others."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import runner
from look_server import running, write_set

from seediff.cli.formats import export_, import_
from seediff.cli.quality import filter_
from seediff.cli.sets import merge
from seediff.dataset import native
from seediff.dataset.encoding import encode_grey
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.reviews import REVIEWS, read_actions, review_summary
from seediff.dataset.shapes.objects import join
from seediff.dataset.shapes.rle import count_runs, fill
from seediff.dataset.store import open_native
from seediff.errors import UserError
from seediff.look.samples import open_subject
from seediff.look.session import Session

run = runner(export_, import_, filter_, merge)
LEFT, RIGHT, LOW = (8, 12), (50, 15), (30, 55)
"""A pixel in each of three pieces of one class; a fourth is of another."""


def pieces_map():
    labels = np.zeros((64, 64), np.uint8)
    labels[5:20, 2:14] = labels[8:24, 44:60] = labels[50:60, 20:40] = 1
    labels[30:40, 30:50] = 2
    labels[28, 30:50] = 255
    return labels


@pytest.fixture
def pets(tmp_path):
    out = write_set(tmp_path / "pets", 3)
    rows = native.read_rows(out)
    rows[1] |= {"classes": ["dog", "cat"], "class_ids": [1, 2], "area": {"dog": 0.15, "cat": 0.05}, "flags": []}
    (out / native.METADATA).write_bytes(native.jsonl(rows))
    (out / rows[1]["mask"]).write_bytes(native.encode_mask(pieces_map()))
    return out


@pytest.fixture
def joined(pets):
    """The second sample's left and right piece are one object."""
    with running(pets) as (client, _):
        state = client.act(1, "join", 0, pixels=[LEFT, RIGHT])
        assert (state.status, len(state.json["joined"]), state.json["corrected"]) == (200, 1, False)
    return pets


def objects(folder):
    """Pixels of each object of the second sample by an export to COCO."""
    document = json.loads((folder / "annotations/instances.json").read_text())
    its = [one for one in document["annotations"] if one["image_id"] == 2]
    masks = []
    for one in its:
        runs = count_runs(one["segmentation"]["size"], one["segmentation"]["counts"], (64, 64), "")
        masks.append((one["category_id"], one["area"], fill(runs, (64, 64))))
    return masks


def test_an_action_like_every_other(pets):
    session = Session(open_subject(pets), by="ann")
    session.act(1, 0, "join", joined=lambda labels, so_far: join(labels, so_far, LEFT, RIGHT), detail={"pixels": [LEFT, RIGHT]})
    one = session.history(1).joined
    session.act(1, 1, "join", joined=lambda labels, so_far: join(labels, so_far, LEFT, LOW))
    session.act(1, 2, "undo")
    session.close()
    line = json.loads((pets / REVIEWS).read_text().splitlines()[0])
    assert (line["action"], line["joined"], line.get("mask")) == ("join", [[list(pixel) for pixel in one[0]]], None)
    session = Session(open_subject(pets), by="bob")
    assert session.history(1).joined == one
    session.act(1, 3, "redo")
    assert [len(pixels) for pixels in session.history(1).joined] == [3]
    session.act(1, 4, "accept", verdict="accepted")
    labels = session.labels(1).copy()
    labels[:, :9] = 0
    session.act(1, 5, "eraser", labels=labels)  # its pieces stay one object
    assert [len(pixels) for pixels in session.history(1).joined] == [3]
    session.act(1, 6, "original")
    assert session.state(1)["joined"] == ()
    session.act(1, 7, "undo")
    assert [len(pixels) for pixels in session.state(1)["joined"]] == [3]
    session.close()
    assert "in 1 sample pieces are joined to one object" in review_summary(item.metadata for item in open_native(pets)[1])


def test_what_the_page_asks_for(joined):
    with running(joined) as (client, _):
        pieces = client.ask("GET", "/api/samples/1/pieces").labels
        assert (pieces.dtype, pieces.max()) == (np.uint16, 4)
        assert len({int(pieces[y, x]) for x, y in (LEFT, RIGHT, LOW)}) == 3
        assert (pieces[28, 30], pieces[0, 0]) == (0, 0)
        assert client.act(1, "join", 1, pixels=[LEFT, (40, 35)]).json == {"error": "only pieces of one class can be one object"}
        assert client.act(1, "join", 1, pixels=[LEFT]).json == {"error": "pixels: join needs 2, not 1"}
        assert client.act(1, "join", 1, pixels=[LEFT, (40, 1)]).status == 400
        assert client.act(1, "split", 1, pixels=[RIGHT]).json["joined"] == []
        assert client.act(1, "undo", 2).json["joined"] != []
        assert client.act(1, "original", 3).json["joined"] == []
    assert [action.action for action in read_actions(joined)] == ["join", "split", "undo", "original"]


def test_coco_has_one_annotation(joined, tmp_path):
    run("export", joined, "--to", "coco", "--out", tmp_path / "coco", "--panoptic", "--min-area", "30")
    labels = pieces_map()
    columns = np.arange(64)
    dog = (labels == 1) & ((columns < 14) | (columns > 43))
    found = objects(tmp_path / "coco")
    assert [(class_id, area) for class_id, area, _ in found] == [(1, 12 * 15 + 16 * 16), (1, 200), (2, 200)]
    np.testing.assert_array_equal(found[0][2], dog)
    panoptic = json.loads((tmp_path / "coco/annotations/panoptic.json").read_text())
    infos = panoptic["annotations"][1]["segments_info"]
    assert [(one["category_id"], one["area"]) for one in infos if one["category_id"] < 4] == [(1, 12 * 15 + 16 * 16), (1, 200), (2, 200)]


def test_polygons_are_one_a_piece(joined, tmp_path, capsys):
    run("export", joined, "--to", "coco", "--out", tmp_path / "coco", "--polygons")
    assert "IoU 1.0000 mean, 1.0000 lowest" in capsys.readouterr().out
    document = json.loads((tmp_path / "coco/annotations/instances.json").read_text())
    its = [one["segmentation"] for one in document["annotations"] if one["image_id"] == 2]
    assert [len(polygons) for polygons in its] == [2, 1, 1]


def test_a_round_trip_gives_the_same_bytes(joined, tmp_path):
    """By COCO, a filtered set, Parquet, a merged set and WebDataset: still one object, and an export is byte for byte the same."""
    pytest.importorskip("pyarrow")
    run("export", joined, "--to", "coco", "--out", tmp_path / "coco")
    run("import", tmp_path / "coco", "--from", "coco", "--out", tmp_path / "back")
    run("filter", tmp_path / "back", "--out", tmp_path / "filtered")
    run("export", tmp_path / "filtered", "--to", "parquet", "--out", tmp_path / "parquet")
    run("import", tmp_path / "parquet", "--from", "parquet", "--out", tmp_path / "unpacked")
    run("merge", tmp_path / "unpacked", "--out", tmp_path / "merged")
    run("export", tmp_path / "merged", "--to", "webdataset", "--out", tmp_path / "tar")
    run("import", tmp_path / "tar", "--from", "webdataset", "--out", tmp_path / "again")
    for name in ("back", "again"):
        assert not check_dataset(tmp_path / name).errors
        run("export", tmp_path / name, "--to", "coco", "--out", tmp_path / f"coco-{name}")
        for file in ("instances.json", "semantic.json") if name == "back" else ("instances.json",):
            assert (tmp_path / f"coco-{name}/annotations/{file}").read_bytes() == (tmp_path / f"coco/annotations/{file}").read_bytes()
    with running(tmp_path / "back") as (client, _):  # and the viewer goes on from there
        assert len(client.get("/api/samples/1")["joined"]) == 1
        client.act(1, "accept", 0)
        client.act(1, "split", 1, pixels=[LEFT])
        client.act(1, "undo", 2)
        client.act(1, "undo", 3)
        assert len(client.get("/api/samples/1")["joined"]) == 1


def test_nothing_joined_leaves_every_byte(pets, tmp_path):
    """A set that somebody joined pieces in and took them apart again exports as one that nobody looked at."""
    formats = {"coco": ["--panoptic"], "voc": ["--objects", "--boxes"], "yolo": [], "cvat": ["--objects"]}
    for kind, more in formats.items():
        run("export", pets, "--to", kind, "--out", tmp_path / f"{kind}-before", *more)
    with running(pets) as (client, _):
        client.act(1, "join", 0, pixels=[LEFT, RIGHT])
        client.act(1, "split", 1, pixels=[LEFT])
    for kind, more in formats.items():
        run("export", pets, "--to", kind, "--out", tmp_path / f"{kind}-after", *more)
        before, after = tmp_path / f"{kind}-before", tmp_path / f"{kind}-after"
        files = sorted(path.relative_to(before) for path in before.rglob("*.*") if path.is_file())
        assert files == sorted(path.relative_to(after) for path in after.rglob("*.*") if path.is_file())
        for file in files:
            if file.name != "semantic.json":  # which says in `metadata` that somebody looked
                assert (before / file).read_bytes() == (after / file).read_bytes(), file


def test_other_formats_with_objects(joined, tmp_path, capsys):
    run("export", joined, "--to", "voc", "--out", tmp_path / "voc", "--objects", "--boxes")
    numbers = native.read_label_map(tmp_path / "voc/SegmentationObject/000001.png")
    assert numbers[LEFT[1], LEFT[0]] == numbers[RIGHT[1], RIGHT[0]] != numbers[LOW[1], LOW[0]]
    boxes = ElementTree.parse(tmp_path / "voc/Annotations/000001.xml").findall("object/bndbox")
    assert [int(boxes[0].findtext(name)) for name in ("xmin", "ymin", "xmax", "ymax")] == [3, 6, 60, 24]
    assert len(boxes) == 3
    run("export", joined, "--to", "cvat", "--out", tmp_path / "cvat", "--objects")
    image = ElementTree.parse(tmp_path / "cvat/annotations.xml").findall("image")[1]
    assert len([one for one in image.findall("mask") if one.get("label") != "ignore"]) == 3
    capsys.readouterr()
    run("export", joined, "--to", "yolo", "--out", tmp_path / "yolo")
    assert "1 objects of several pieces are a line per piece" in capsys.readouterr().out
    assert len((tmp_path / "yolo/labels/train/000001.txt").read_text().splitlines()) == 4


def test_what_names_one_piece_is_no_object_of_several(pets, tmp_path, capsys):
    rows = native.read_rows(pets)
    rows[1]["review"] = {"joined": [[LEFT, [9, 12]], [[0, 0], [1, 1]], [RIGHT]]}
    (pets / native.METADATA).write_bytes(native.jsonl(rows))
    run("export", pets, "--to", "yolo", "--out", tmp_path / "yolo")
    assert "several pieces" not in capsys.readouterr().out


def test_a_mask_corrected_elsewhere_keeps_what_is_joined(joined, tmp_path):
    run("export", joined, "--to", "cvat", "--out", tmp_path / "cvat", "--objects")
    run("import", tmp_path / "cvat", "--from", "cvat", "--corrects", joined, "--out", tmp_path / "back")
    run("export", tmp_path / "back", "--to", "coco", "--out", tmp_path / "coco")
    assert [area for _, area, _ in objects(tmp_path / "coco")] == [12 * 15 + 16 * 16, 200, 200]


def test_a_pixel_outside_is_told_by_all(joined, tmp_path):
    line = (joined / REVIEWS).read_text()
    (joined / REVIEWS).write_text(line.replace("[[[", "[[[64, 3], [", 1))
    found = [(one.level, one.where) for one in check_dataset(joined).findings if one.kind == "review"]
    assert found == [("error", REVIEWS)]
    with pytest.raises(Exception, match=r"sample '000001': joins the piece at pixel \[64, 3\], but its picture has 64 × 64"):
        run("export", joined, "--to", "coco", "--out", tmp_path / "coco")
    assert not (tmp_path / "coco").exists()
    session = Session(open_subject(joined), by="ann")
    with pytest.raises(Exception, match=r"joins the piece at pixel \[64, 3\]"):
        session.act(1, 1, "relabel", labels=np.zeros((64, 64), np.uint8))
    session.close()


@pytest.mark.parametrize(
    ("own", "said"), [([[[64, 3], [8, 12]]], r"pixel \[64, 3\], but its picture"), ([[[8, 12]] * 10_001], "at 10001 pixels")]
)
def test_a_row_that_joins_what_is_not_there(pets, tmp_path, own, said):
    """`check` tells it as `export` does; the viewer passes over it, says so, and saves no such thing."""
    rows = native.read_rows(pets)
    rows[1]["review"] = {"verdict": "accepted", "corrected": False, "joined": own}
    (pets / native.METADATA).write_bytes(native.jsonl(rows))
    found = [(one.kind, one.level, one.where) for one in check_dataset(pets).findings if one.kind == "review"]
    assert found == [("review", "error", "row 2")]
    with pytest.raises(UserError, match=f"sample '000001': joins .*{said}"):
        run("export", pets, "--to", "coco", "--out", tmp_path / "coco")
    with running(pets) as (client, _):
        assert re.match(f"passed over: metadata.jsonl: sample '000001': joins .*{said}", client.get("/api/samples/1")["wrong"])
        assert client.get("/api/samples/0")["wrong"] == ""
        assert client.get("/api/samples/1")["joined"] == []
        assert client.paint(1, pieces_map().clip(0, 1), 0).status == 200
        assert client.act(1, "original", 1).json["joined"] == []
    run("export", pets, "--to", "coco", "--out", tmp_path / "coco")  # what people left is in effect, and right


def test_nothing_outside_of_the_picture_is_saved(pets):
    session = Session(open_subject(pets), by="ann")
    with pytest.raises(UserError, match=r"^sample '000001': joins the piece at pixel \[64, 3\]"):
        session.act(1, 0, "join", joined=lambda labels, so_far: (((64, 3), LEFT),))
    session.close()
    assert read_actions(pets) == []


@pytest.fixture
def apart(pets):
    """The second sample's left piece is two objects that touch."""
    numbers = np.zeros((64, 64), np.uint16)
    numbers[5:20, 2:8], numbers[5:20, 8:14], numbers[8:24, 44:60], numbers[50:60, 20:40], numbers[30:40, 30:50] = range(1, 6)
    (pets / native.INSTANCES).mkdir()
    rows = native.read_rows(pets)
    (pets / native.INSTANCES / f"{native.sample_name(rows[1]['file_name'])}.png").write_bytes(encode_grey(numbers))
    rows[1] |= {"instances": [1, 1, 1, 1, 2], "instance_scores": [0.5] * 5}
    (pets / native.METADATA).write_bytes(native.jsonl(rows))
    return pets


def areas(folder):
    instances = open_native(folder)[1][1].instances
    assert instances is not None
    return list(zip(instances.class_ids, np.bincount(instances.numbers.ravel()).tolist()[1:], instances.scores, strict=True))


def test_objects_follow_every_correction_and_its_undo(apart, tmp_path):
    before = areas(apart)
    with running(apart) as (client, _):
        labels = pieces_map()
        labels[5:20, 14:16] = 1  # grows the second
        labels[30:40, 30:50] = 0  # the cat goes
        labels[60:64, 60:64] = 2  # a new cat
        assert client.paint(1, labels, 0).status == 200
        found = [(1, 90, 0.5), (1, 120, 0.5), (1, 256, 0.5), (1, 200, 0.5), (2, 16, 1.0)]
        assert areas(apart) == found
        pieces = client.ask("GET", "/api/samples/1/pieces").labels
        assert pieces[10, 5] != pieces[10, 15] == pieces[10, 10]
        assert client.act(1, "join", 1, pixels=[(3, 10), (50, 15)]).status == 200
        joined = client.ask("GET", "/api/samples/1/pieces?joined=1").labels
        assert joined[10, 3] == joined[15, 50] != joined[10, 10]
        assert client.act(1, "relabel", 2, old=1, new=2).status == 200
        assert [class_id for class_id, _, _ in areas(apart)] == [2] * 5
        assert client.act(1, "undo", 3).status == client.act(1, "undo", 4).status == 200
        assert not [one for one in check_dataset(apart).findings if one.kind == "objects"]
        run("filter", apart, "--out", tmp_path / "kept")
        assert areas(tmp_path / "kept") == found == areas(apart)
        assert not [one for one in check_dataset(tmp_path / "kept").findings if one.kind == "objects"]
        assert client.act(1, "undo", 5).status == 200
    assert areas(apart) == before
