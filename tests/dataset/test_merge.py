import json

import numpy as np
import pytest
from blobs import blobs
from items import item, rows_of

from seediff import Dataset
from seediff.dataset.check import check_dataset
from seediff.dataset.encoding import encode_soft
from seediff.dataset.native import open_native
from seediff.dataset.writing import save_native
from seediff.files.names import sample_name


def attention(text):
    """A safetensors file without tensors."""
    header = json.dumps({"__metadata__": {"text": text}}).encode()
    return len(header).to_bytes(8, "little") + header


def make(folder, classes, count=2, first=0, soft=False, shape=(32, 40)):
    """A dataset of numbered samples; with soft masks of constant value, 10 · class id, and attention when asked."""
    items = [
        item(f"{first + i:06d}", blobs(first + i, shape, len(classes), ignore=True), {"prompt": f"p{i}"}, shape)
        for i in range(count)
    ]
    save_native(folder, classes, items, about={})
    for row in rows_of(folder) if soft else ():
        for class_id in row["class_ids"]:
            path = folder / "soft" / f"{sample_name(row['file_name'])}_{class_id}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode_soft(np.full(shape, class_id * 10 / 255)))
        (folder / "attention").mkdir(exist_ok=True)
        (folder / "attention" / f"{sample_name(row['file_name'])}.safetensors").write_bytes(attention(row["prompt"]))
    return folder


def test_classes_are_joined_by_name_and_ids_follow(tmp_path):
    one = make(tmp_path / "pets", ("dog", "cat", "bus"), soft=True)
    two = make(tmp_path / "zoo", ("cat", "fox", "dog"), soft=True)
    merged = Dataset.open(one).merge(Dataset.open(two))
    assert merged.classes == ("dog", "cat", "bus", "fox")
    background = "there they are background, unless `seediff merge --ignore-background` joins the sets"
    assert merged.notes == (f"pets never labels fox: {background}", f"zoo never labels bus: {background}")
    merged.save(tmp_path / "out")
    classes, items = open_native(tmp_path / "out")
    assert [i.name for i in items] == ["pets/000000", "pets/000001", "zoo/000000", "zoo/000001"]
    assert [i.metadata["origin"] for i in items] == ["pets/000000", "pets/000001", "zoo/000000", "zoo/000001"]
    assert [i.metadata["prompt"] for i in items] == ["p0", "p1", "p0", "p1"]
    ids = np.arange(256)
    ids[1:4] = 2, 4, 1  # of the zoo's
    for number, (new, old) in enumerate(zip(items, open_native(one)[1] + open_native(two)[1], strict=True)):
        assert np.array_equal(new.label_map, old.label_map if number < 2 else ids[old.label_map])
        assert new.data() == old.data()
        area = {classes[i - 1]: np.mean(new.label_map == i) for i in new.metadata["class_ids"]}
        assert new.metadata["area"] == pytest.approx(area, abs=1e-6)
    assert not (tmp_path / "out/attention/zoo").exists()  # it has the old ids
    assert [[*one.soft[:, 0, 0]] for one in items[2:]] == [[*one.soft[:, 0, 0]] for one in open_native(two)[1]]
    assert (tmp_path / "out/attention/pets/000001.safetensors").read_bytes() == attention("p1")
    assert check_dataset(tmp_path / "out").errors == 0


def test_the_background_of_sets_that_lack_classes_may_be_ignored(tmp_path):
    few, every = make(tmp_path / "few", ("dog",)), make(tmp_path / "every", ("dog", "cat"), first=2)
    sets = [Dataset.open(one) for one in (few, every)]
    merged = sets[0].merge(sets[1], ignore_background=True)
    assert merged.notes == ("few never labels cat: its background is ignored (255)",)
    merged.save(tmp_path / "out")
    for before, after in zip([*sets[0], *sets[1]], open_native(tmp_path / "out")[1], strict=True):
        background = 255 if before in sets[0] else 0
        assert np.array_equal(np.where(before.label_map == 0, background, before.label_map), after.label_map)
    assert check_dataset(tmp_path / "out").errors == 0


def test_names_stay_where_they_are_apart_and_a_merge_can_be_merged(tmp_path):
    one, two = make(tmp_path / "a" / "set", ("dog",), soft=True), make(tmp_path / "b" / "set", ("dog",), first=5)
    merged = Dataset.open(one).merge(Dataset.open(two))
    assert [i.name for i in merged] == ["000000", "000001", "000005", "000006"]
    assert [i.metadata["origin"] for i in merged][1:3] == ["set/000001", "set-2/000005"]
    merged.save(tmp_path / "both", link=True)
    assert (tmp_path / "both/images/000005.png").samefile(two / "images/000005.png")
    again = Dataset.open(make(tmp_path / "c", ("cat",), first=9)).merge(Dataset.open(tmp_path / "both"))
    assert [i.metadata["origin"] for i in again][1:3] == ["c/000010", "both/set/000000"]
