"""`datasets` opens native folders, and writes them as Parquet."""

import numpy as np
import pytest
from items import pets, rows_of, write_rows

from seediff import Dataset
from seediff.dataset.native import open_native
from seediff.dataset.split import set_splits
from seediff.dataset.writing import save_native
from seediff.files.names import CARD
from seediff.report.card import dataset_card
from seediff.report.set_summary import SetFacts, summarize
from seediff.rows.row import as_row

datasets = pytest.importorskip("datasets", reason="datasets is not installed")
CLASSES, SHAPE = ("cat", "dog"), (16, 20)
NAMES = ("trip/1", "test_1", "train-2", "validation", "b")
"""`datasets` takes a file called so for a part of a set."""


def load(*args, cache, **options):
    return datasets.load_dataset(*args, **options, split="train", cache_dir=str(cache))


def save(folder, names=NAMES):
    """A set in which only the last sample has flags, the class dog, a review, and other keys."""
    last = {"flags": ["tiny:dog"], "review": {"verdict": "rejected"}, "depth_file_name": "gone.png"}
    last["recipe"] = {"steps": [{"operation": "perspective", "corners": [[1, 2.5]]}]}
    samples = []
    for number, sample in enumerate(pets(len(names))):
        labels, row = np.full(SHAPE, 1, np.uint8), {"flags": [], "seed": 2**40 + number}
        if number == len(names) - 1:
            labels, row = labels * 2, {**row, **last}
        samples.append(sample.replace(name=names[number], label_map=labels, row=row))
    save_native(folder, CLASSES, samples, about={})
    return folder


def same(table, folder):
    """Whether a table holds the pictures and label maps of a set."""
    samples = open_native(folder)[1]
    assert [column for column in table.features if isinstance(table.features[column], datasets.Image)] == [
        "image",
        "mask",
    ]
    for row, sample in zip(table, samples, strict=True):
        assert np.array_equal(np.array(row["image"].convert("RGB")), sample.image)
        assert np.array_equal(np.array(row["mask"]), sample.label_map)
        assert row["classes"] == sample.metadata["classes"]
    return True


def test_folders_are_opened_and_come_back_from_parquet(tmp_path):
    first, more = save(tmp_path / "pets"), save(tmp_path / "more", ("x", "y"))
    one, two = Dataset.open(first), Dataset.open(more)
    one.merge(two).save(tmp_path / "merged")
    set_splits(tmp_path / "merged", {sample.name: "val" for sample in Dataset.open(tmp_path / "merged")})
    for name in ("pets", "merged"):
        table = load(str(tmp_path / name), cache=tmp_path / "cache")
        assert same(table, tmp_path / name)
        table.to_parquet(str(tmp_path / "again.parquet"))
        again = datasets.Dataset.from_parquet(str(tmp_path / "again.parquet"), cache_dir=str(tmp_path / name / "pq"))
        assert same(again, tmp_path / name)
        assert again.features == table.features
    assert same(load("imagefolder", data_dir=str(more), cache=tmp_path / "cache"), more)
    last = load(str(first), cache=tmp_path / "cache")[-1]
    assert (last["flags"], last["review"]["verdict"]) == (["tiny:dog"], "rejected")
    assert last["area"] == {"cat": None, "dog": 1.0}


@pytest.mark.slow
def test_what_only_the_last_of_3000_rows_has(tmp_path):
    """Of long rows, `datasets` sees the last only after it has settled the types, unless the card names them."""
    folder = save(tmp_path / "pets", ("a", "b"))
    first, last = rows_of(folder)
    rows = [{**row, "prompt": "a cat, " * 600} for row in (*[first] * 2999, last)]
    write_rows(folder, rows)
    typed = [*map(as_row, rows)]
    (folder / CARD).write_text(dataset_card(SetFacts({}), typed, summarize(typed, CLASSES)))
    table = load(str(folder), cache=tmp_path / "cache")
    assert (len(table), table[0]["mask"].size, table[-1]["mask"].size) == (3000, SHAPE[::-1], SHAPE[::-1])
    assert (table[-1]["flags"], table[-1]["area"]["dog"]) == (["tiny:dog"], 1.0)
    assert table[-1]["review"] == {"verdict": "rejected"}
