from blocks import some
from formats import export, imported
from items import item
from PIL import Image
from refusals import user_error


def test_files_are_as_vocs_readers_expect(tmp_path):
    export("voc", ("cat", "bus", "dog"), some(), tmp_path / "voc", jpeg=True, split=0.5)
    root = tmp_path / "voc"
    lists = {
        name: (root / f"ImageSets/Segmentation/{name}.txt").read_text().split() for name in ("train", "val", "trainval")
    }
    assert lists["trainval"] == ["trip_0", "trip_1", "trip_2", "trip_3"]
    assert len(lists["train"]) == len(lists["val"]) == 2
    assert sorted(lists["train"] + lists["val"]) == lists["trainval"]
    for name in lists["trainval"]:
        image, mask = Image.open(root / f"JPEGImages/{name}.jpg"), Image.open(root / f"SegmentationClass/{name}.png")
        assert (image.format, image.mode, mask.mode) == ("JPEG", "RGB", "P")
        assert image.size == mask.size
        assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert [i.name for i in imported("voc", root, split="val")[1]] == lists["val"]
    assert {i.name: i.metadata["split"] for i in imported("voc", root)[1]} == {
        n: s for s in ("train", "val") for n in lists[s]
    }


def test_splits_of_rows_and_names_with_dots_and_blanks_are_kept(tmp_path):
    given = [item("a.b", row={"split": "val"}), item("x y"), item("é", row={"split": "train"})]
    export("voc", (), given, tmp_path / "voc")
    assert (tmp_path / "voc/ImageSets/Segmentation/val.txt").read_text() == "a.b\n"
    assert (tmp_path / "voc/ImageSets/Segmentation/train.txt").read_text(encoding="utf-8") == "x y\né\n"
    assert [one.name for one in imported("voc", tmp_path / "voc")[1]] == ["a.b", "x y", "é"]


def test_folders_that_cannot_be_read(tmp_path):
    with user_error("has no SegmentationClass"):
        imported("voc", tmp_path)
    export("voc", ("cat",), [item("a")], tmp_path)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("../a\n")
    with user_error(r"val.txt, line 1: .*JPEGImages has no picture '\.\./a'"):
        imported("voc", tmp_path)
