"""What is read of every foreign set that the tests know, against readings.jsonl: classes, names, sizes, splits, digests
of label maps and objects, notes; or the refusal. A rewrite of formats changes no line. After a change on purpose:

    PYTHONPATH=tests/builders python tests/dataset/formats/test_readings.py
"""

import hashlib
import json
import os
import tempfile
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


def read_case(about, folder):
    return reading(folder, *write_case(about, folder))


def read_ours(about, folder):
    name, options = OURS[about]
    found = find_objects(some()[0].label_map)
    objects = Objects(found.numbers, tuple(found.class_ids))
    samples = [some()[0].replace(instances=objects), *some()[1:]]
    export(name, CLASSES, samples, folder, **options)
    return reading(folder, getattr(Dataset, f"from_{name}"), folder, {})


def read_shared(about, folder):
    folder = SHARED / about.removeprefix("shared ") / "in"
    return reading(folder, Dataset.open, folder, {})


SHARED = Path(__file__).parents[4] / "shared/cases/labels"
FOUND = [f"shared {path.parent.name}" for path in sorted(SHARED.glob("*/in"))]
EVERY = {**dict.fromkeys(CASES, read_case), **dict.fromkeys(OURS, read_ours), **dict.fromkeys(FOUND, read_shared)}


def stored():
    lines = GOLDEN.read_text(encoding="utf-8").splitlines() if GOLDEN.is_file() else []
    return {entry.pop("about"): entry for entry in map(json.loads, lines)}


@pytest.mark.parametrize(("about", "expected"), stored().items())
def test_a_reading(about, expected, tmp_path):
    if about not in EVERY and about.startswith("shared "):
        pytest.skip("the folder of this case is not here")
    assert EVERY[about](about, tmp_path / "in") == expected


def test_every_case_has_a_reading():
    assert {*CASES, *OURS} <= stored().keys()


def renew():
    """Readings of cases whose folder is not here stay."""
    elsewhere = {one: entry for one, entry in stored().items() if one not in EVERY and one.startswith("shared ")}
    lines = []
    for about, read in EVERY.items():
        with tempfile.TemporaryDirectory() as folder:
            entry = {"about": about, **read(about, Path(folder) / "in")}
        lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    lines += [json.dumps({"about": about, **entry}, ensure_ascii=False) + "\n" for about, entry in elsewhere.items()]
    GOLDEN.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    renew()
