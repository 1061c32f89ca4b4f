import shutil
from xml.etree import ElementTree

import numpy as np
from photo_set import write_photos

from seediff.cli.main import main
from seediff.dataset.native import open_native


def run(capsys, *words):
    code = main([str(word) for word in words])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def edit(folder, before):
    """The first image's corner becomes cat, by a mask above the others; all masks of the second are removed, and the
    third does not come back. The file is what CVAT gives, pretty-printed by it and without the pictures. Returns the
    label maps that should come of it, by name."""
    root = ElementTree.parse(folder / "annotations.xml")
    first, second, third = root.getroot().findall("image")
    place = {"left": "0", "top": "0", "width": "20", "height": "20", "rle": "0, 400", "z_order": "1"}
    ElementTree.SubElement(first, "mask", {"label": "cat", "source": "manual", "occluded": "0", **place})
    for mask in second.findall("mask"):
        second.remove(mask)
    root.getroot().remove(third)
    ElementTree.indent(root)
    root.write(folder.parent / "annotations.xml", encoding="utf-8", xml_declaration=True)
    shutil.rmtree(folder)
    corner = before[0].label_map.copy()
    corner[:20, :20] = 2
    return {before[0].name: corner, before[1].name: np.zeros_like(before[1].label_map)}


def test_there_corrected_and_back(mini_folder, tmp_path, capsys):
    """Three photographs by `mask`, each asked for a class that may be anywhere."""
    write_photos(tmp_path / "photos", 2)
    masked = tmp_path / "masked"
    options = f"--model {mini_folder} --classes dog,cat --presence 0 --timesteps 300 --keep-soft --quiet"
    run(capsys, "mask", tmp_path / "photos", *options.split(), "--out", masked)
    run(capsys, "export", masked, "--to", "cvat", "--out", tmp_path / "cvat", "--quiet")
    classes, before = open_native(masked)
    truths, file = edit(tmp_path / "cvat", before), tmp_path / "annotations.xml"
    said = run(capsys, "import", file, "--from", "cvat", "--corrects", masked, "--out", tmp_path / "corrected")

    again, after = open_native(tmp_path / "corrected")
    assert again == classes
    changed = []
    for one, two in zip(before, after, strict=True):
        truth = truths.get(one.name, one.label_map)
        assert np.array_equal(two.label_map, truth)
        assert one.data() == two.data()
        for key in ("source", "prompt", "presence"):
            assert two.metadata[key] == one.metadata[key]
        changed += [one.name] * bool((truth != one.label_map).any())
    only_said = run(capsys, "import", file, "--from", "cvat", "--corrects", masked, "--dry-run")
    for lines in (said, only_said):
        assert f"2 samples came back, {len(changed)} changed: {', '.join(changed)}" in lines.splitlines()
    assert [one.metadata.get("review", {}).get("verdict") for one in after] == [
        {True: "accepted"}.get(one.name in changed) for one in after
    ]
    assert f"1 sample of {masked} were not returned: left unchanged" in said
    assert main(["check", str(tmp_path / "corrected")]) == 0
    run(capsys, "filter", tmp_path / "corrected", "--reviewed", "corrected", "--out", tmp_path / "kept", "--quiet")
    assert [one.name for one in open_native(tmp_path / "kept")[1]] == changed
