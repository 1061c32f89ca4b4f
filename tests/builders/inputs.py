"""Small valid inputs of commands, each made when it is first asked for, for the cases of tests/test_corpus.py."""

import shlex
from contextlib import contextmanager, nullcontext, suppress
from unittest import mock

import numpy as np
from builders import twins

from seediff.cli.main import main
from seediff.dataset.encoding import encode_image
from seediff.dataset.sample import Sample
from seediff.dataset.writing import save_native

NAMES = ("one.png", "trip/two.jpg", "trip/three.png", "four.png")
ROWS = (
    {"prompt": 'a "dog" <b>', "seed": 2**62, "flags": ["small:dog"]},
    {"split": "val"},
    {"split": "train"},
    {},
)
SHORT = {
    "GENERATE": (
        "--classes dog,cat --per-class 2 --batch-size 2 --steps 1 --threads 1 --keep-soft --keep-attention --model"
        " ../../in/model"
    ),
    "TRAIN": (
        "--architecture segformer --backbone tiny --weights scratch --batch-size 2 --crop 32 --test-side 32 --steps 2"
        " --save-every 1 --workers 0 --device cpu"
    ),
}
"""Options of the cases' lines, and of the lines that make inputs. They name the model as seen from a case's current
folder.
"""


def words(line, case):
    """The words of a case's line: paths below `in` and `work` are in its folder, {case} is its folder, and the names in
    SHORT are options.
    """
    return [
        f"{case}/{word}" if word.startswith(("in/", "work/")) else word.replace("{case}", str(case))
        for part in shlex.split(line)
        for word in shlex.split(SHORT.get(part, "")) or [part]
    ]


def label_map(number):
    """(32, 40) uint8: a box of each of two classes, the first in an ignored band."""
    labels = np.zeros((32, 40), np.uint8)
    labels[2:14, 2 + number : 18 + number] = 255
    for one, top in enumerate((4, 18)):
        labels[top : top + 8, 4 + number : 16 + number] = 1 + (number + one) % 3
    return labels


def native(folder):
    samples = [
        Sample(
            encode_image(np.full((32, 40, 3), 40 * number, np.uint8), name[-3:]),
            label_map(number),
            row=ROWS[number],
            name=name[:-4],
        )
        for number, name in enumerate(NAMES)
    ]
    save_native(folder, ("dog", "cat", "car"), samples, about={"command": "import", "format": "made here"})


class _Enough(BaseException):
    pass


@contextmanager
def _once():
    """A progress display that stops the command after its first batch or step."""

    def progress(done, total, current):
        if done:
            raise _Enough

    yield progress


MADE = {
    "native": native,
    "model": lambda folder: twins.save_mini(folder, 8),
}
LINES = {
    "coco": "export in/native --to coco",
    "generated": "generate GENERATE",
    "training": "train in/native TRAIN",
}
"""Inputs that a command makes. training: it is stopped after its first batch or step."""


def make(name, case):
    """The input `name` below `case/in`, made if it is not there. The current folder must be `case/work/cwd`."""
    folder = case / "in" / name
    if folder.exists():
        return folder
    if name in MADE:
        MADE[name](folder)
        return folder
    for other in ("native", "model"):
        make(other, case)
    stopped = name == "training"
    with mock.patch("seediff.cli.progress.no_progress", _once) if stopped else nullcontext(), suppress(_Enough):
        assert main([*words(LINES[name], case), "--out", str(folder), "--quiet"]) == 0
    return folder
