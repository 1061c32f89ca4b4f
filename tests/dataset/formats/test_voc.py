from blocks import some
from formats import export, imported
from items import item
from PIL import Image


def test_files_are_as_vocs_readers_expect(tmp_path):
    root = tmp_path / "voc"
    export("voc", ("cat", "bus", "dog"), some(), root, jpeg=True, split=0.5)
    train, val, both = (
        (root / f"ImageSets/Segmentation/{name}.txt").read_text().split() for name in ("train", "val", "trainval")
    )
    assert (len(train), len(val), both, sorted(train + val)) == (2, 2, [f"trip_{i}" for i in range(4)], both)
    for name in both:
        image, mask = Image.open(root / f"JPEGImages/{name}.jpg"), Image.open(root / f"SegmentationClass/{name}.png")
        assert (image.format, image.mode, mask.mode, image.size) == ("JPEG", "RGB", "P", mask.size)
        assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert [one.name for one in imported("voc", root, split="val")[1]] == val
    assert [one.name for one in imported("voc", root)[1] if one.metadata["split"] == "val"] == val


def test_splits_of_rows_and_names_with_dots_and_blanks_are_kept(tmp_path):
    given = [item("a.b", row={"split": "val"}), item("x y"), item("é", row={"split": "train"})]
    export("voc", (), given, tmp_path / "voc")
    assert (tmp_path / "voc/ImageSets/Segmentation/val.txt").read_text() == "a.b\n"
    assert (tmp_path / "voc/ImageSets/Segmentation/train.txt").read_text(encoding="utf-8") == "x y\né\n"
    assert [one.name for one in imported("voc", tmp_path / "voc")[1]] == ["a.b", "x y", "é"]
