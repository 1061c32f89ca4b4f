"""What is read of every foreign set that the tests know, against readings.jsonl: classes, names, sizes, splits, digests
of label maps and objects, or that it is refused. A rewrite of formats changes no meaning: labels are the same, or
refused, and never other labels. The file also holds the words of notes and refusals, and nothing else does. After
other words:

    PYTHONPATH=tests/builders python tests/dataset/formats/test_readings.py

After another meaning on purpose, which this prints: the same with `--meaning`.
"""

import hashlib
import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from blocks import some
from formats import export
from layout_cases import CASES, write_case

from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.format_table import READ
from seediff.dataset.shapes.objects import Objects, find_objects
from seediff.errors import UserError

GOLDEN = Path(__file__).with_name("readings.jsonl")
CLASSES = ("cat", "dog", "cow")
OPTIONS = {"coco": ({}, {"polygons": True}), "labelme": ({}, {"polygons": True})}
OURS = {f"our {name} {options}": (name, options) for name in READ for options in OPTIONS.get(name, ({},))}


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values, "<i4").tobytes()).hexdigest()[:12]


def reading(folder, read, source, options):
    """What is read of a set, as JSON. folder: the folder of the case, which the text calls DIR."""
    try:
        dataset = read(source, **options)
        samples = []
        for one in dataset:
            labels = one.labels(254)
            about = [one.name, "×".join(map(str, labels.shape)), one.metadata.get("split", "-"), digest(labels)]
            if one.has_objects:
                objects = one.objects(labels)
                about += [digest(objects.numbers), digest(objects.class_ids)]
            samples.append(" ".join(about))
        made = {"classes": dataset.classes, "samples": samples, "notes": dataset.notes}
    except UserError as error:
        made = {"refused": str(error)}
    return json.loads(json.dumps(made, ensure_ascii=False).replace(str(folder), "DIR").replace(os.sep, "/"))


def meaning(entry):
    """The entry without words: what was read, or None if it was refused."""
    return None if "refused" in entry else (entry["classes"], sorted(entry["samples"]))


def read_case(about, folder):
    return reading(folder, *write_case(about, folder))


def read_ours(about, folder):
    name, options = OURS[about]
    found = find_objects(some()[0].label_map)
    objects = Objects(found.numbers, tuple(found.class_ids))
    samples = [some()[0].replace(instances=objects), *some()[1:]]
    export(name, CLASSES, samples, folder, **options)
    return reading(folder, partial(Dataset.open, format=name), folder, {})


EVERY = {**dict.fromkeys(CASES, read_case), **dict.fromkeys(OURS, read_ours)}


def stored():
    lines = GOLDEN.read_text(encoding="utf-8").splitlines() if GOLDEN.is_file() else []
    return {entry.pop("about"): entry for entry in map(json.loads, lines)}


@pytest.mark.parametrize(("about", "expected"), stored().items())
def test_a_reading(about, expected, tmp_path):
    found = EVERY[about](about, tmp_path / "in")
    assert meaning(found) == meaning(expected)
    assert found == expected, "only words differ: the file's first lines say how they are renewed"


def test_every_case_has_a_reading():
    assert EVERY.keys() == stored().keys()


def renew(any_meaning):
    before, found, others = stored(), {}, []
    for about, read in EVERY.items():
        with tempfile.TemporaryDirectory() as folder:
            found[about] = read(about, Path(folder) / "in")
        if about in before and meaning(found[about]) != meaning(before[about]):
            others.append(f"{about}\n  before: {before[about]}\n  now: {found[about]}")
    if others and not any_meaning:
        sys.exit("\n".join([*others, f"{len(others)} of {len(found)} mean something else: nothing was written"]))
    lines = [json.dumps({"about": about, **entry}, ensure_ascii=False) + "\n" for about, entry in found.items()]
    GOLDEN.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    renew(sys.argv[1:] == ["--meaning"])
