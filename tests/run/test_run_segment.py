from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from interrupted import check_interrupted
from photo_set import scene_photo, write_photos
from PIL import Image

from seediff.cli import main
from seediff.config.constants import SegmentConfig
from seediff.config.photographs import SegmentPhotosConfig
from seediff.dataset import native
from seediff.dataset.shapes.rle import decompress, fill
from seediff.errors import UserError
from seediff.files.label_maps import read_segment_ids
from seediff.files.photographs import find_photos, read_photo
from seediff.run.segment import segment_photos
from seediff.run.segment_files import read_segments


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "in")


def config(mini_folder, **values) -> SegmentPhotosConfig:
    values = {"segment": SegmentConfig(kl_threshold=0.3, num_points=8), **values}
    return SegmentPhotosConfig(model=str(mini_folder), batch_size=2, device="cpu", threads=1, **values)


@pytest.mark.parametrize("fit", ["keep", "crop", "tile"])
def test_every_photograph_has_a_label_map_of_its_size(tmp_path, photos, mini_folder, fit):
    found = find_photos([photos]).photos
    result = segment_photos(config(mini_folder, fit=fit), found, tmp_path / "out")
    assert [row["photo"] for row in result.rows] == ["0", "1", "2", "3", "4", "trip/last"]
    assert (result.done, result.failed) == (6, [])
    for row, photo in zip(result.rows, found, strict=True):
        label_map = read_segment_ids(tmp_path / "out" / "labels" / f"{photo.name}.png")
        height, width = read_photo(photo.path).shape[:2]
        assert label_map.shape == (height, width) == (row["height"], row["width"])
        assert (label_map == -1).sum() == (height * width - min(height, width) ** 2 if fit == "crop" else 0)
        assert np.array_equal(np.unique(label_map[label_map >= 0]), np.arange(len(row["segments"])))
        for one in row["segments"]:
            mask = label_map == one["segment"]
            np.testing.assert_array_equal(
                fill(decompress(one["segmentation"]["counts"]), one["segmentation"]["size"]), mask
            )
            rows, columns = np.nonzero(mask)
            assert one["area"] == mask.sum()
            assert one["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert 0 < one["score"] <= 1
        assert Image.open(tmp_path / "out" / "overlays" / f"{photo.name}.jpg").size == (width, height)
    assert (tmp_path / "out" / "overview.jpg").is_file()


def test_methods_and_names(tmp_path, photos, mini_folder):
    found = find_photos([photos]).photos
    for segment in (
        SegmentConfig(method="kmeans", k=3),
        SegmentConfig(method="diffcut"),
        SegmentConfig(refine=True, kl_threshold=0.3),
    ):
        out = tmp_path / f"{segment.method}{segment.refine}"
        chosen = config(mini_folder, segment=segment, names=("dog", "car"), name_threshold=0.0)
        result = segment_photos(chosen, found, out)
        assert all(one["name"] in ("dog", "car") for row in result.rows for one in row["segments"])
        assert (out / "classes.txt").read_text().split() == ["background", "dog", "car"]
        named = np.asarray(Image.open(out / "named" / "0.png"))
        assert set(np.unique(named)) <= {1, 2}
        if segment.method == "kmeans":
            assert all(len(row["segments"]) <= 3 for row in result.rows)


def write_label(path: Path, shape: tuple[int, int], count: int = 2, first: int = 0) -> None:
    """A label map of `count` upright stripes of one width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = first + np.arange(shape[1]) * count // shape[1]
    Image.fromarray(stripes[None].repeat(shape[0], 0).astype(np.uint8 if stripes.max() < 256 else np.uint16)).save(path)


def test_truth_counts_come_from_label_maps(tmp_path, photos, mini_folder, capsys):
    labels, found = tmp_path / "labels", find_photos([photos]).photos
    for number, photo in enumerate(found):
        # Ids beyond the classes that a plain folder has by default are no error, and 255 of 16 bits is an id.
        shape = read_photo(photo.path).shape
        write_label(labels / f"{photo.name}.png", (shape[0], shape[1]), 1 + number, first=(0, 100, 255)[number % 3])
    line = (f"segment {photos} --model {mini_folder} --method kmeans -k truth --out {tmp_path / 'out'}").split()
    assert main([*line, "--labels", str(labels)]) == 0
    counts = [len(row["segments"]) for row in read_segments(tmp_path / "out")]
    assert all(count <= 1 + number for number, count in enumerate(counts))
    assert max(counts) > 2
    write_label(labels / "3.png", (60, 150), 150)
    assert main([*line, "--labels", str(labels)]) == 2
    assert "another configuration" in capsys.readouterr().err
    assert main([*line[:-1], str(tmp_path / "other")]) == 2
    assert "needs labels" in capsys.readouterr().err


def test_a_label_map_that_cannot_be_used_is_its_photographs_failure(tmp_path, photos, mini_folder, capsys):
    labels = tmp_path / "labels"
    for photo in find_photos([photos]).photos:
        shape = read_photo(photo.path).shape
        write_label(labels / f"{photo.name}.png", (shape[0], shape[1]))
    (labels / "0.png").unlink()
    (labels / "1.png").write_bytes(b"broken")
    write_label(labels / "2.png", (10, 20))
    write_label(labels / "trip" / "last.png", (96, 128), 128)
    line = ["segment", str(photos), "--model", str(mini_folder), "--method", "kmeans", "-k", "truth", "--size", "32"]
    line += ["--labels", str(labels), "--out", str(tmp_path / "out")]
    assert main(line) == 2
    positions = (32 // 4) ** 2
    failed = {row["photo"]: row["reason"] for row in native.read_rows(tmp_path / "out", "failed.jsonl")}
    assert sorted(failed) == ["0.png", "1.jpg", "2.png", "trip/last.png"]
    assert "there is no label map" in failed["0.png"]
    assert failed["1.jpg"].startswith("label map '1': cannot be read")
    assert failed["2.png"] == "label map '2' is 20 × 10 pixels, the photograph 100 × 100"
    assert (
        failed["trip/last.png"] == f"label map 'trip/last' has 128 classes; K-Means divides only {positions} positions"
    )
    assert all(str(tmp_path) not in reason for reason in failed.values())
    assert [row["photo"] for row in read_segments(tmp_path / "out")] == ["3", "4"]
    capsys.readouterr()
    write_label(tmp_path / "none" / "else.png", (8, 8))
    assert main([*line[:-3], str(tmp_path / "none"), "--out", str(tmp_path / "other")]) == 2
    assert "no label map of any of the 6 photographs" in capsys.readouterr().err


def test_words_that_cannot_be_names(tmp_path, photos, mini_folder):
    found = find_photos([photos / "0.png", photos / "trip"]).photos
    words = {"0": [f"word{i}" for i in range(200)], "last": [f"word{i}" for i in range(100, 300)]}
    with pytest.raises(UserError, match=r"words of the photographs: 300 different words, more than the 254"):
        segment_photos(config(mini_folder), found, tmp_path / "out", words=words)
    with pytest.raises(UserError, match=r"^words of '0': must be a list of words, like \['dog'\]$"):
        segment_photos(config(mini_folder), found, tmp_path / "out", words={"0": "dog"})
    assert not (tmp_path / "out").exists()
    words = {"0": ("dog", "background", "dog"), "last": ()}
    segment_photos(config(mini_folder, name_threshold=0.0), found, tmp_path / "out", words=words)
    assert native.read_classes(tmp_path / "out") == ("dog",)


def test_interrupted_and_continued_gives_the_same_bytes(tmp_path, photos, mini_folder, monkeypatch):
    found, chosen = find_photos([photos]).photos, config(mini_folder, names=("dog",))
    check_interrupted(lambda out: segment_photos(chosen, found, out), tmp_path, monkeypatch, (5,))
    with pytest.raises(UserError, match="photos: 6 photographs"):
        segment_photos(chosen, found[:-1], tmp_path / "whole")
    # The photographs are the same.
    with pytest.raises(UserError, match=r"another configuration \(names: dog → car\); choose"):
        segment_photos(replace(chosen, names=("car",)), found, tmp_path / "whole")


def test_bad_photographs_do_not_stop_the_others(tmp_path, photos, mini_folder, capsys):
    folder = tmp_path / "in"
    write_photos(folder, 3)
    whole = (folder / "1.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("skipped")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "one.png")
    frames = [Image.fromarray(scene_photo(i)) for i in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    line = (f"segment {folder} --model {mini_folder} --out {folder / 'out'} --kl-threshold 0.3 --num-points 8").split()
    assert main(line) == 2
    captured = capsys.readouterr()
    assert "4 of 8 photographs could not be used" in captured.err
    assert len(captured.err.splitlines()) == 1
    failed = {row["photo"]: row["reason"] for row in native.read_rows(folder / "out", "failed.jsonl")}
    assert sorted(failed) == ["moving.gif", "one.png", "text.jpg", "truncated.jpg"]
    assert all(str(tmp_path) not in reason for reason in failed.values())
    assert len(read_segments(folder / "out")) == 4
    assert main(line) == 2  # complete: says so again, and finds none of its own pictures
    assert len(read_segments(folder / "out")) == 4


BAD = [
    (["nowhere.jpg"], "nowhere.jpg: there is no such file or folder"),
    (["{in}", "--num-points", "999"], "num_points: 999 must be from 2 to 16, the side of the"),
    (["{in}", "--method", "kmeans", "-k", "100000"], "k: 100000 must be from 1 to 256, the number of"),
    (["{in}", "--names", "zebra"], "zebra"),
    (["{in}", "--names", "background"], "names: 'background' is the name of id 0"),
    (["{in}", "--size", "2048"], "--size: 2048 must be at most 512 for this model:"),
    (["{in}", "--labels", "{in}"], "--labels: is used only with --method kmeans -k truth"),
    (["{in}/out/labels/0.png"], "out"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_answered_in_one_line(tmp_path, mini_folder, capsys, line, message):
    folder = write_photos(tmp_path / "in", 1)
    (folder / "out" / "labels").mkdir(parents=True)
    Image.fromarray(scene_photo(0)).save(folder / "out" / "labels" / "0.png")
    out = folder / "out" if "out/labels" in line[0] else tmp_path / "fresh"
    arguments = [part.replace("{in}", str(folder)) for part in line]
    assert main(["segment", *arguments, "--model", str(mini_folder), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "fresh").exists()
