import numpy as np
import pytest
from layouts import save_map
from refusals import user_error

from seediff.evaluate.segments import evaluate_segments, match_segments, notes, select

# Class 0 has six labelled pixels, class 1 four; two pixels are unlabelled. Segments 9 and 3 stand for them, two pixels
# are mistaken.
LABEL = [[0, 0, 0, 1], [0, 0, 0, 1], [255, 255, 1, 1]]
PREDICTION = [[9, 9, 9, 3], [9, 9, 3, 3], [9, 9, 9, 3]]


@pytest.fixture
def folders(tmp_path):
    """Predictions as `seediff segment` leaves them, and labels of two classes; two images, the second all right."""
    save_map(tmp_path / "labels" / "a.png", LABEL)
    save_map(tmp_path / "labels" / "deep" / "b.png", [[1, 1], [0, 255]])
    save_map(tmp_path / "out" / "labels" / "a.png", PREDICTION)
    save_map(tmp_path / "out" / "labels" / "deep" / "b.png", [[70, 70], [2, 2]], bits=16)
    save_map(tmp_path / "out" / "overlays" / "a.png", [[0]])
    return tmp_path / "out", tmp_path / "labels"


def test_known_answer(folders):
    seen = []
    scores = evaluate_segments(*folders, num_classes=3, progress=lambda *step: seen.append(step))
    table = scores.to_json()
    assert table["acc"] == 11 / 13
    assert table["miou"] == pytest.approx((6 / 8 + 5 / 7) / 2)
    assert (table["images"], table["pixels"], table["unpredicted"]) == (2, 13, 0)
    zero, one, two = ({key: each[key] for key in ("iou", "tp", "fp", "fn")} for each in table["per_class"].values())
    assert zero == {"iou": 6 / 8, "tp": 6, "fp": 1, "fn": 1}
    assert one == {"iou": 5 / 7, "tp": 5, "fp": 1, "fn": 1}
    assert two == {"iou": None, "tp": 0, "fp": 0, "fn": 0}  # it is nowhere, and does not count in the mean
    assert (table["acc_images"], table["acc_ci95"], table["miou_ci95"]) == (2, [None, None], [None, None])
    assert seen == [(0, 2, "a"), (1, 2, "deep/b"), (2, 2, "intervals")]
    assert "compared with themselves" in notes(evaluate_segments(folders[1], folders[1], num_classes=3))[0]


def test_the_centred_square(tmp_path):
    label = np.zeros((4, 8), int)
    label[:, 4:] = 1
    prediction = np.full((4, 8), 255)
    prediction[:, 2:4], prediction[:, 4:6] = 5, 6  # only the centre square is segmented
    save_map(tmp_path / "labels" / "a.png", label)
    save_map(tmp_path / "out" / "a.png", prediction)
    assert evaluate_segments(tmp_path / "out", tmp_path / "labels", num_classes=2).whole["ACC"].value == 0.5
    sized = evaluate_segments(tmp_path / "out", tmp_path / "labels", num_classes=2, size=8)
    assert (sized.whole["ACC"].value, sized.pixels.sum(), sized.size) == (1, 64, 8)
    assert "Labels: centre square, 8 × 8 pixels." in notes(sized)
    # Label maps of the square itself, at the size of the evaluation, are taken as they are.
    save_map(tmp_path / "squares" / "a.png", np.kron([[0, 1]], np.ones((8, 4))))
    assert evaluate_segments(tmp_path / "squares", tmp_path / "labels", num_classes=2, size=8).whole["ACC"].value == 1


def test_sizes_that_differ(folders):
    predictions, labels = folders
    save_map(predictions / "labels" / "a.png", np.repeat(np.repeat(PREDICTION, 2, 0), 2, 1))
    with user_error(r"a.png: is 8 × 6 pixels, but its label 'a' 4 × 3; resize it"):
        evaluate_segments(predictions, labels, num_classes=2)


def test_missing_predictions(folders):
    predictions, labels = folders
    for name in ("c", "d"):
        save_map(labels / f"{name}.png", [[0, 1]])
    with user_error("out: has no prediction for 2 of 4 labels, the first 'c'; list the labels"):
        evaluate_segments(predictions, labels, num_classes=2)
    names = labels / "list.txt"
    names.write_text("a\ndeep/b\n")
    assert evaluate_segments(predictions, labels, num_classes=2, names=names).whole["ACC"].value == 11 / 13


def test_names_of_a_list(tmp_path):
    """A photograph's ending of Cityscapes counts for its label, and a last part that only one has for its path."""
    known = {name: name for name in ("a/a_1", "a/same", "b/same", "x/y_leftImg8bit")}
    listing = tmp_path / "list.txt"
    for text, found in (
        ("a_1.png\n\n  b/same  \n", ["a/a_1", "b/same"]),
        ("a/a_1_leftImg8bit\n", ["a/a_1"]),
        ("elsewhere/a_1.JPG\n", ["a/a_1"]),
        ("y_leftImg8bit", ["x/y_leftImg8bit"]),
    ):
        listing.write_text(text)
        assert list(select(known, listing)) == found
    for text, words in (
        ("nobody\n", "lists 'nobody', which is not the name of a label"),
        ("same\n", "'a/same' and 'b/same' could both belong to 'same'"),
        ("\n", "lists no names"),
    ):
        listing.write_text(text)
        with user_error(words):
            select(known, listing)


def names_of(paired, folder):
    """Label → the path of its segments in their folder."""
    return {label: path.relative_to(folder).as_posix() for label, path in paired.items()}


def test_pairs_by_path_then_by_file_name(tmp_path):
    for name in ("labels/a.png", "labels/city/b_leftImg8bit.png", "labels/deep/c.png", "labels/more.png"):
        save_map(tmp_path / name, [[0]])
    paired, missing = match_segments(tmp_path, ["a", "city/b", "x/c", "d"])
    assert names_of(paired, tmp_path / "labels") == {
        "a": "a.png",
        "city/b": "city/b_leftImg8bit.png",
        "x/c": "deep/c.png",
    }
    assert missing == ["d"]
    assert match_segments(tmp_path, ["city/b_leftImg8bit"]) == ({"city/b_leftImg8bit": paired["city/b"]}, [])


def test_same_file_names_in_several_folders(tmp_path):
    for name in ("x/1.png", "y/1.png"):
        save_map(tmp_path / name, [[0]])
    assert names_of(match_segments(tmp_path, ["x/1", "y/1"])[0], tmp_path) == {"x/1": "x/1.png", "y/1": "y/1.png"}
    with user_error(r"'x/1' and 'y/1' could both belong to '1'"):
        match_segments(tmp_path, ["1"])
    with user_error(r"'z' could belong to 2 names"):
        match_segments(save_map(tmp_path / "flat" / "z.png", [[0]]).parent, ["a/z", "b/z"])
    (tmp_path / "empty").mkdir()
    with user_error("empty: has no PNG files"):
        match_segments(tmp_path / "empty", ["a"])
