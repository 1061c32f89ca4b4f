import json
import os
import sys

import numpy as np
import pytest
from blobs import some
from formats import export, imported
from items import item
from refusals import user_error

from seediff.errors import UserError

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = ("cat", 'dog: "é" ```', "bus")


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_load_dataset_reads_images(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    given = some()
    export("parquet", CLASSES, given, tmp_path / "pq", split=0.4)
    loaded = datasets.load_dataset(str(tmp_path / "pq"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in loaded.items()} == {"train": 3, "validation": 2}
    own = {one.name: one for one in given}
    for part in loaded.values():
        assert [str(type(part.features[name]).__name__) for name in ("image", "label_map", "name")] == [
            "Image",
            "Image",
            "Value",
        ]
        for row in part:
            one = own[row["name"]]
            assert np.array_equal(np.array(row["label_map"]), one.label_map)
            assert row["image"].size == one.label_map.shape[::-1]
            assert json.loads(row["metadata"]) == one.metadata


def change_column(table, name, values):
    return table.set_column(
        table.schema.get_field_index(name), table.schema.field(name), pa.array(values, table.schema.field(name).type)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["name"]), "must have a column 'name'"),
        (lambda t: t.replace_schema_metadata({}), "does not say its classes"),
        (lambda t: change_column(t, "name", ["a", "../../a"]), "row 2: sample name '../../a' cannot be a file name"),
        (lambda t: change_column(t, "name", ["a", "a"]), "row 2: two samples are called 'a'"),
        (lambda t: change_column(t, "image", [None, None]), "row 1: 'image', 'label_map' and 'name' must not be empty"),
    ],
)
def test_broken_files_are_named(tmp_path, change, message):
    export("parquet", ("cat",), [item("a"), item("b")], tmp_path / "pq")
    path = tmp_path / "pq/data/train-00000.parquet"
    table = change(pq.read_table(path))
    pq.write_table(table, path)
    with pytest.raises(UserError) as caught:
        list(imported("parquet", tmp_path / "pq")[1])
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_damaged_and_missing_files(tmp_path):
    assert export("parquet", CLASSES, [], tmp_path / "empty").files == 1
    export("parquet", ("cat",), [item("a")], tmp_path / "pq")
    path = tmp_path / "pq/data/train-00000.parquet"
    for folder, options, said in (
        ("pq", {"split": "x"}, "split: x must be one of train, val"),
        ("pq", {"split": "val"}, "no parquet files of split 'val', whose names begin with validation"),
        ("nowhere", {}, "nowhere: cannot be read as parquet"),
        ("empty", {}, "has no parquet files"),
    ):
        with user_error(said):
            imported("parquet", tmp_path / folder, **options)
    whole = path.read_bytes()
    for data in (whole.replace(b"a.png", b"a\xccpng"), whole[:-100], whole[:-60] + b"\xff" * 40 + whole[-20:]):
        path.write_bytes(data)
        with user_error(r"train-00000\.parquet: cannot be read as parquet \((?!.*Exception)"):
            list(imported("parquet", tmp_path / "pq")[1])
    path.unlink()
    os.mkfifo(path)
    with user_error("is not a regular file"):
        imported("parquet", tmp_path / "pq")


def test_classes_must_agree(tmp_path):
    for name in ("one", "two"):
        export("parquet", (name,), [item(name)], tmp_path / name)
    (tmp_path / "two/data/train-00000.parquet").rename(tmp_path / "one/data/train-00001.parquet")
    with user_error(r"train-00001\.parquet: its classes differ from those of"):
        imported("parquet", tmp_path / "one")


def test_what_to_install_is_said(tmp_path, monkeypatch):
    export("parquet", ("cat",), [item("a")], tmp_path / "pq")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    for use in (
        lambda: export("parquet", ("cat",), [item("a")], tmp_path / "two"),
        lambda: imported("parquet", tmp_path / "pq"),
    ):
        with user_error(r'pip install "seediff\[hf\]"'):
            use()
