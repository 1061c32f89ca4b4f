"""Samples for test datasets, small sets, and the names of all files in a folder."""

import json

import numpy as np

from seediff.dataset.encoding import encode_image
from seediff.dataset.reviews import read_actions
from seediff.dataset.sample import Sample
from seediff.dataset.writing import save_native
from seediff.rows.row import SCORES


def noise_pixels(*size, seed=0):
    """(H, W, 3) uint8 without any pattern. size: H and W, perhaps after a number of pictures."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def item(name="a/0", labels=None, row=None, shape=(4, 6), suffix="png"):
    labels = np.zeros(shape, np.uint8) if labels is None else labels
    image = np.arange(np.prod(shape) * 3).reshape(*shape, 3).astype(np.uint8)
    return Sample(encode_image(image, suffix), labels, row=row or {}, name=name)


def pets(count, shape=(16, 20), row=lambda number: {}):
    """Unlike pictures 000000, 000001, …, which show a dog or a cat by turns: a box in the middle. row: number → row."""
    rng = np.random.default_rng(0)
    rows, columns = (side // 4 for side in shape)
    inside = np.zeros(shape, np.uint8)
    inside[rows:-rows, columns:-columns] = 1
    for number in range(count):
        image = np.kron(rng.integers(0, 256, (rows, columns, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        labels = inside * np.uint8(1 + number % 2)
        yield Sample(encode_image(image, "png"), labels, row=row(number), name=f"{number:06d}")


def write_pets(folder, count=4, **options):
    save_native(folder, ("dog", "cat"), pets(count, **options), about={})
    return folder


def judged(name, **more):
    """The keys of a row that describe the mask that a method made. name: the class in the mask."""
    scores = {"confidence": {name: 0.5}, "support": {name: 0.1}}
    return {**scores, "flags": [f"degenerate:{name}"], **more}


def judgements(sample):
    """The keys of a sample's row that describe the mask that a method made, and its flags."""
    return {*SCORES} & {*sample.metadata}, sample.metadata["flags"] != []


STAY, GO = ({*SCORES}, True), (set(), False)
"""What `judgements` finds of a mask that a method made, and of one that took its place."""


def last_actions(folder):
    """Sample's name → the last action about it."""
    return {action.sample: action for action in read_actions(folder)}


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def rows_of(folder, name="metadata.jsonl"):
    """The rows of a file in a dataset, as they are written."""
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def edit_row(folder, number, **values):
    rows = rows_of(folder)
    rows[number] |= values
    write_rows(folder, rows)


def write_rows(folder, rows):
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
