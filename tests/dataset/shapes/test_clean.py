import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import seediff
from seediff.dataset.shapes.changes import clean_labels

PAINT = Path(seediff.__file__).parent / "look/static/paint.js"
IN_NODE = f"""
import {{ clean }} from {json.dumps(PAINT.as_uri())};
import {{ readFileSync }} from "fs";
const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(([values, width, height, least]) => {{
  const labels = Uint8Array.from(values);
  clean(labels, width, height, least);
  return [...labels];
}})));
"""


def cases():
    """(label map, least): small label maps with specks, holes, touching corners and ignored pixels."""
    rng = np.random.default_rng(0)
    for number in range(200):
        labels = rng.choice([0, 1, 2, 255][: rng.integers(2, 5)], rng.integers(1, 14, 2)).astype(np.uint8)
        if number % 2:
            labels = np.kron(labels, np.ones((2, 3), np.uint8))
            labels = np.where(rng.random(labels.shape) < 0.1, 1, labels).astype(np.uint8)
        yield labels, int(rng.integers(1, 12))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_a_whole_set_is_cleaned_as_one_sample_is_in_the_viewer():
    given = [[labels.ravel().tolist(), *labels.shape[::-1], least] for labels, least in cases()]
    command = ["node", "--input-type=module", "--eval", IN_NODE]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=True)
    ours = [clean_labels(labels, least).ravel().tolist() for labels, least in cases()]
    assert ours == json.loads(done.stdout)


def test_specks_and_holes_get_the_label_around_them():
    labels = np.zeros((8, 10), np.uint8)
    labels[1:7, 1:7] = 1
    labels[3, 3] = 0  # a hole
    labels[4, 6:8] = 2  # on the edge: more of its border is background
    labels[0, 9] = 255
    expected = np.zeros((8, 10), np.uint8)
    expected[1:7, 1:7] = 1
    expected[4, 6] = 0
    expected[0, 9] = 255
    assert np.array_equal(clean_labels(labels, 3), expected)
    assert np.array_equal(clean_labels(labels, 1), labels)
