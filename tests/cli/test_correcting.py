import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
from photo_set import write_photos

from seediff.cli.main import main
from seediff.dataset.native import open_native
from seediff.dataset.shapes.brush import decode_brush, encode_brush


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """Three photographs by `mask`, each asked for a class that may be anywhere."""
    folder = tmp_path_factory.mktemp("correcting")
    write_photos(folder / "photos", 2)
    options = "--classes dog,cat --presence 0 --timesteps 300 --quiet".split()
    assert main(["mask", str(folder / "photos"), *options, "--out", str(folder / "masked")]) == 0
    return folder / "masked"


def run(capsys, *words):
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def corner(labels, value):
    """What a person does: a corner of 20² pixels given to another class."""
    mended = labels.copy()
    mended[:20, :20] = value
    return mended


def in_cvat(folder, before):
    """The first image's corner becomes cat, by a mask above the others; all masks of the second are removed; the file
    is what CVAT gives back, pretty-printed by it and without the pictures."""
    root = ElementTree.parse(folder / "annotations.xml")
    first, second, *_ = root.getroot().findall("image")
    place = {"left": "0", "top": "0", "width": "20", "height": "20", "rle": "0, 400", "z_order": "1"}
    ElementTree.SubElement(first, "mask", {"label": "cat", "source": "manual", "occluded": "0", **place})
    for mask in second.findall("mask"):
        second.remove(mask)
    ElementTree.indent(root)
    root.write(folder.parent / "annotations.xml", encoding="utf-8", xml_declaration=True)
    return {before[0].name: corner(before[0].label_map, 2), before[1].name: np.zeros_like(before[1].label_map)}


def in_label_studio(folder, before):
    """As `in_cvat`, by annotations made of the predictions; the third task nobody has looked at."""
    tasks = json.loads((folder / "tasks.json").read_text())
    shape = before[0].label_map.shape
    results = tasks[0]["predictions"][0]["result"]
    inside = corner(np.zeros(shape, np.uint8), 1) == 1
    for one in results:  # the eraser
        kept = decode_brush(bytes(one["value"]["rle"]), shape) & ~inside
        one["value"]["rle"] = list(encode_brush(kept))
    brush = {"format": "rle", "rle": list(encode_brush(inside)), "brushlabels": ["cat"]}
    sides = {"original_width": shape[1], "original_height": shape[0], "image_rotation": 0}
    results.append({"type": "brushlabels", "from_name": "label", "to_name": "image", "value": brush, **sides})
    tasks[0]["annotations"] = [
        {"id": 1, "result": results, "was_cancelled": False, "updated_at": "2026-11-21T00:00:00Z"}
    ]
    tasks[1]["annotations"] = [{"id": 2, "result": [], "was_cancelled": False}]
    for number, task in enumerate(tasks, 1):
        task |= {"id": number, "predictions": [], "project": 1}
    (folder.parent / "project-1-at-2026-11-21.json").write_text(json.dumps(tasks))
    return {before[0].name: corner(before[0].label_map, 2), before[1].name: np.zeros_like(before[1].label_map)}


@pytest.mark.parametrize(("tool", "edit", "back"), [("cvat", in_cvat, 3), ("labelstudio", in_label_studio, 2)])
def test_there_corrected_and_back(masked, tmp_path, capsys, tool, edit, back):
    run(capsys, "export", masked, "--to", tool, "--out", tmp_path / tool, "--quiet")
    classes, before = open_native(masked)
    truths = edit(tmp_path / tool, before)
    shutil.rmtree(tmp_path / tool)
    (file,) = [path for path in tmp_path.iterdir() if path.suffix in (".xml", ".json")]
    said = run(capsys, "import", file, "--from", tool, "--corrects", masked, "--out", tmp_path / "corrected")

    again, after = open_native(tmp_path / "corrected")
    assert again == classes
    gained, lost = dict.fromkeys(("background", *classes), 0), dict.fromkeys(("background", *classes), 0)
    for one, two in zip(before, after, strict=True):
        truth = truths.get(one.name, one.label_map)
        assert np.array_equal(two.label_map, truth)
        assert one.data() == two.data()
        for key in ("source", "prompt", "presence"):
            assert two.metadata[key] == one.metadata[key]
        for number, name in enumerate(gained):
            gained[name] += int(((truth == number) & (one.label_map != number)).sum())
            lost[name] += int(((truth != number) & (one.label_map == number)).sum())
    changed = [
        name
        for name, truth in truths.items()
        if (truth != next(one for one in before if one.name == name).label_map).any()
    ]
    assert changed
    assert f"{back} samples reviewed, {len(changed)} changed: {', '.join(changed)}" in said.splitlines()
    pixels = dict(
        re.findall(r"(\w+) (\+\d+ −\d+)", next(line for line in said.splitlines() if line.startswith("pixels:")))
    )
    assert pixels == {name: f"+{gained[name]} −{lost[name]}" for name in gained if gained[name] or lost[name]}
    assert [one.metadata.get("review", {}).get("verdict") for one in after] == ["accepted"] * back + [None] * (3 - back)
    if back < 3:
        assert f"1 sample of {masked} were not returned: left unchanged" in said
    assert main(["check", str(tmp_path / "corrected")]) == 0
    run(capsys, "filter", tmp_path / "corrected", "--reviewed", "corrected", "--out", tmp_path / "kept", "--quiet")
    assert [one.metadata["source"] for one in open_native(tmp_path / "kept")[1]] == [
        one.metadata["source"] for one in before if one.name in changed
    ]
