import numpy as np
import pytest
from items import item
from photo_set import write_photos
from refusals import refused

from seediff.cli.main import main
from seediff.dataset.dataset import Dataset


@pytest.mark.parametrize(
    ("form", "given", "photos"),
    [
        ("native", "pets", "pets/images"),
        ("native", ".", "pets/images"),
        ("voc", "pets", "pets/JPEGImages"),
        ("masks", "pets", "pets/images"),
    ],
)
def test_a_dataset_is_no_folder_of_photos(tmp_path, monkeypatch, capsys, form, given, photos):
    monkeypatch.chdir(tmp_path)
    pets = Dataset(("dog",), [item("0", np.ones((16, 16), np.uint8), {}, (16, 16))])
    if form == "native":
        pets.save("pets")
    else:
        pets.export(form, "pets")
    line = "mask --classes dog --model mini --out out --dry-run".split()
    assert main([*line, given]) == 2
    assert capsys.readouterr().err == (
        f"seediff: pets: is a dataset, whose label maps are not photographs; give {photos}\n"
    )
    (tmp_path / "pets/seediff.toml").touch()  # outputs of runs that lie among photographs are passed over
    assert main([*line, photos]) == 0
    said = capsys.readouterr().out
    assert "1 image" in said
    assert "model 'mini' knows its own emoji art alone: what it finds in other images means nothing" in said


def test_a_table_of_classes_among_the_photographs_is_named(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos")
    (photos / "classes.csv").write_text("file,classes\n0.png,dog\n")
    table = photos / "classes.csv"
    used = f"classes are from {table}, which has a line for 1 of 6 photographs; the others are searched for all classes"
    for given, said in (
        ((), used),
        (("--classes", str(table)), used),
        (("--classes", "dog"), f"{table} is not read, because --classes is given"),
    ):
        line = ["mask", str(photos), "--model", "mini", "--dry-run", "--verbose", "--out", str(tmp_path / "out")]
        assert main([*line, *given]) == 0
        out, err = capsys.readouterr()
        assert err == f"seediff: {said}\n"
        assert 'classes = ["dog"]' in out.partition("Given: ")[2]


def test_classes_are_understood_as_the_model_spells_them(tmp_path, capsys):
    photos = write_photos(tmp_path / "photos")
    (tmp_path / "table.csv").write_text("file,classes\n0.png,Dog\n")
    for words in ("mask --classes Dog", "mask --classes table.csv", "segment --names Dog", "generate --classes Dog"):
        command, option, value = words.split()
        value = str(tmp_path / value) if "." in value else value
        given = [] if command == "generate" else [str(photos), "--model", "mini"]
        assert main([command, *given, option, value, "--dry-run", "--verbose", "--out", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().out
        assert '= ["dog"]' in said
        assert "cross-attention at " in said  # names of segments need it, too
    line = f"segment {photos} --model mini --names fox --dry-run --out {tmp_path}/out".split()
    assert "--names: model 'mini' does not know 'fox'; it knows: " in refused(capsys, *line)
    line = f"segment {photos} --names fox --dry-run --out {tmp_path}/out".split()
    elsewhere = "--model owner/models/mine.safetensors --base mini".split()  # not fetched yet: it has no list of words
    assert main([*line, *elsewhere]) == 0
    assert "Names: fox" in capsys.readouterr().out
