"""Objects that a person cuts and joins in the viewer, through every command and format, and back."""

import numpy as np
import pytest
from command_line import runner
from formats import imported
from in_chromium import at, drag, needs_chromium, noticed, open_sample, press, saved, shown_mask, until, window
from items import last_actions, rows_of, write_rows
from look_server import running, write_set

from seediff.cli.formats import export_, import_
from seediff.cli.sets import augment, filter_, merge, split
from seediff.dataset.check import check_dataset
from seediff.dataset.encoding import encode_mask
from seediff.dataset.native import open_native

run = runner(augment, export_, filter_, import_, merge, split)
CUT, JOIN = [[31, 10], [31, 50]], [[10, 50], [30, 50]]
WHOLE, CUT_ALONE, DIVIDED = [144, 192, 1152], [144, 192, 576, 576], [336, 576, 576]
"""Areas of two dogs that a model took for one and a cat in two pieces; after the cut; and after the join, too."""


def pets_map():
    labels = np.zeros((64, 64), np.uint8)
    labels[16:40, 8:56] = 1
    labels[48:60, 4:20] = labels[48:60, 28:40] = 2
    labels[44] = 255
    return labels


@pytest.fixture
def pets(tmp_path):
    """Four samples, whose masks a model made. In 1 and 2, a person cut the dogs and joined the cat's pieces."""
    out = write_set(tmp_path / "pets", 4)
    rows = rows_of(out)
    for row in rows:
        area = {"dog": 1152 / 4096, "cat": 336 / 4096}
        row |= {"classes": ["dog", "cat"], "class_ids": [1, 2], "area": area, "confidence": area, "method": "seediff"}
        (out / row["mask_file_name"]).write_bytes(encode_mask(pets_map()))
    write_rows(out, rows)
    with running(out) as (client, _):
        for number in (1, 2):
            assert client.act(number, "cut", 0, points=CUT).status == 200
            assert client.act(number, "join", 1, points=JOIN).json["divided"]
    return out


def objects_of(sample):
    """Class and pixels of each object."""
    found = sample.objects(sample.label_map)
    return {(class_id, (found.numbers == i).tobytes()) for i, class_id in enumerate(found.class_ids, 1)}


def areas(folder, number=None):
    found = [sorted(one.objects(one.label_map).areas) for one in open_native(folder)[1]]
    return found if number is None else found[number]


def test_a_cut_changes_objects_alone_and_is_undone(pets):
    for before, after in zip(open_native(pets, as_made=True)[1], open_native(pets)[1], strict=True):
        assert np.array_equal(before.label_map, after.label_map)
        assert before.metadata == {key: value for key, value in after.metadata.items() if key != "review"}
    assert areas(pets) == [WHOLE, DIVIDED, DIVIDED, WHOLE]
    with running(pets) as (client, _):
        assert client.act(1, "cut", 2, points=[[0, 0], [5, 5]]).json["version"] == 2
        assert "different classes" in client.act(1, "join", 2, points=[[10, 20], [10, 50]]).json["error"]
        shown = client.ask("GET", "/api/samples/1/pieces").labels
        assert shown[50, 30] == shown[50, 10] != shown[20, 10] != shown[20, 50]
        client.act(1, "join", 2, points=[[10, 20], [50, 20]])
        assert client.act(1, "cut", 3, points=[[30.5, 50.5]]).json["divided"] is False
        assert not last_actions(pets)["000001"].objects  # they follow from the mask again
        client.act(1, "undo", 4, to={"1": 2})
        labels = pets_map()
        labels[12:16, 8:20] = labels[2:4, 60:64] = 1  # grows a dog, and is one
        labels[48:60] = 0
        client.paint(1, labels, 5)
        client.act(1, "relabel", 6, old=1, new=2)
        assert client.act(1, "accept", 7).status == 200
        assert areas(pets, 1) == [8, 576, 624]
        assert check_dataset(pets).errors == 0
        client.act(1, "undo", 8, to={"1": 5})
    assert areas(pets, 1) == DIVIDED


def test_through_commands_and_a_second_review(pets, tmp_path):
    run(f"filter {pets} --min-area 0 --out {tmp_path}/kept")
    run(f"merge {tmp_path}/kept --rename dog=wolf --out {tmp_path}/renamed")
    run(f"split {tmp_path}/renamed --val 0.5 --out {tmp_path}/parts")
    run(f"augment {tmp_path}/kept --add flip:4 --out {tmp_path}/more")
    assert areas(tmp_path / "kept") == areas(tmp_path / "renamed") == [WHOLE, DIVIDED, DIVIDED, WHOLE]
    assert sorted(areas(tmp_path / "parts/train") + areas(tmp_path / "parts/val")) == [WHOLE] * 2 + [DIVIDED] * 2
    assert sorted(areas(tmp_path / "more")) == [WHOLE] * 4 + [DIVIDED] * 4
    with running(tmp_path / "kept") as (client, _):
        assert client.act(1, "accept", 0).json["divided"]
        assert client.act(1, "cut", 1, points=[[0, 27.5], [60, 27.5]]).status == 200
    assert areas(tmp_path / "kept", 1) == [288] * 4 + [336]


@pytest.mark.parametrize("name", ["coco", "cvat", "labelstudio", "labelme", "yolo"])
def test_through_a_format_and_back(name, pets, tmp_path, capsys):
    """Also where only some samples have objects, which are exported however small."""
    least = {"coco": 1000, "yolo": 1000}.get(name)
    run(f"export {pets} --to {name} --out {tmp_path}/set" + f" --min-area {least}" * bool(least))
    found = sorted(imported(name, tmp_path / "set")[1], key=lambda one: one.name)
    for one, truth in zip(found, open_native(pets)[1], strict=True):
        expected = objects_of(truth)
        if name == "yolo":  # what was joined stays pieces
            pieces = truth.objects(truth.label_map).pieces()[0]
            expected = objects_of(truth.replace(instances=pieces))
        if least and not truth.has_objects:
            expected = {(class_id, pixels) for class_id, pixels in expected if pixels.count(1) >= least}
        assert objects_of(one) == expected
    run(f"export {pets} --to {name} --out {tmp_path}/all")
    run(f"import {tmp_path}/all --from {name} --corrects {pets} --out {tmp_path}/again")
    assert "none changed" in capsys.readouterr().out
    assert areas(tmp_path / "again") == areas(pets)


@needs_chromium
def test_cut_join_and_undo_in_the_page(browser, pets):
    with running(pets) as (_, opened), window(browser, opened.url) as page:

        def found(*keys):
            press(page, *keys)
            saved(page)
            return areas(pets, 0)

        open_sample(page, "000000")
        press(page, "n")
        until(page, "() => document.querySelector('#sample.by-object')")
        drag(page, *CUT)
        assert found() == CUT_ALONE
        page.keyboard.down("Shift")
        for place in JOIN:
            page.mouse.click(*at(page, *place))
        page.keyboard.up("Shift")
        assert found() == DIVIDED
        until(page, "() => document.querySelector('#sample-state').textContent.includes('objects changed')")
        assert (found("z"), found("z"), found("y")) == (CUT_ALONE, WHOLE, CUT_ALONE)
        drag(page, (2, 2), (6, 6))
        noticed(page, "That changed nothing")
        press(page, "b", "0")
        drag(page, (10, 50), (18, 50))
        assert found()[-2:] == [576, 576]
        assert np.unique(shown_mask(page)).tolist() == [0, 1, 2, 255]  # by class again
