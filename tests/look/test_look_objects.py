import numpy as np
import pytest
from command_line import runner
from items import rows_of, write_rows
from look_server import running, write_set

from seediff.cli.sets import filter_
from seediff.dataset import native
from seediff.dataset.check import check_dataset
from seediff.dataset.encoding import encode_grey, encode_mask
from seediff.dataset.native import open_native
from seediff.files.names import sample_name

run = runner(filter_)


def pieces_map():
    labels = np.zeros((64, 64), np.uint8)
    labels[5:20, 2:14] = labels[8:24, 44:60] = labels[50:60, 20:40] = 1
    labels[30:40, 30:50] = 2
    labels[28, 30:50] = 255
    return labels


@pytest.fixture
def pets(tmp_path):
    out = write_set(tmp_path / "pets", 3)
    rows = rows_of(out)
    rows[1] |= {"classes": ["dog", "cat"], "class_ids": [1, 2], "area": {"dog": 0.15, "cat": 0.05}, "flags": []}
    write_rows(out, rows)
    (out / rows[1]["mask_file_name"]).write_bytes(encode_mask(pieces_map()))
    return out


@pytest.fixture
def apart(pets):
    """The second sample's left piece is two objects that touch."""
    numbers = np.zeros((64, 64), np.uint16)
    numbers[5:20, 2:8], numbers[5:20, 8:14], numbers[8:24, 44:60], numbers[50:60, 20:40], numbers[30:40, 30:50] = range(
        1, 6
    )
    (pets / native.INSTANCES).mkdir()
    rows = rows_of(pets)
    (pets / native.INSTANCES / f"{sample_name(rows[1]['file_name'])}.png").write_bytes(encode_grey(numbers))
    rows[1] |= {"instances": [1, 1, 1, 1, 2], "instance_scores": [0.5] * 5}
    write_rows(pets, rows)
    return pets


def areas(folder):
    instances = open_native(folder)[1][1].instances
    return list(
        zip(instances.class_ids, np.bincount(instances.numbers.ravel()).tolist()[1:], instances.scores, strict=True)
    )


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
        assert client.act(1, "relabel", 1, old=1, new=2).status == 200
        assert [class_id for class_id, _, _ in areas(apart)] == [2] * 5
        assert client.act(1, "undo", 2, to={"1": 1}).status == 200
        assert check_dataset(apart).errors == 0
        run(f"filter {apart} --out {tmp_path}/kept")
        assert areas(tmp_path / "kept") == found == areas(apart)
        assert check_dataset(tmp_path / "kept").errors == 0
        assert client.act(1, "undo", 3, to={"1": 0}).status == 200
    assert areas(apart) == before
