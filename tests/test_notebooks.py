import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 200_000
"""Bytes of a notebook with its pictures: a repository keeps every version of them."""
sys.path.insert(0, str(ROOT / "website"))

from execute import run_cells  # noqa: E402

SMALLER = {
    "per_class=2, steps=20": "per_class=1, steps=2",
    "steps=20": "steps=4",
    "--steps 80": "--steps 2",
    "timesteps=(150, 350, 550)": "timesteps=(350,)",
    "load_scenes(6)": "load_scenes(2)",
    "load_scenes(12)": "load_scenes(2)",
    "--batch-size 8": "--batch-size 2",
    'MaskPhotosConfig.recommended(model="mini", classes=("dog", "cat", "car"))': (
        'MaskPhotosConfig.recommended(model="mini", classes=("dog", "cat", "car"), timesteps=(350,))'
    ),
    "per_class=12": "per_class=1, steps=4",
}
"""What costs minutes in the notebooks → what these tests run instead."""


def smaller(path):
    text = path.read_text(encoding="utf-8")
    for costly, cheap in SMALLER.items():
        text = text.replace(json.dumps(costly)[1:-1], json.dumps(cheap)[1:-1])
    return json.loads(text)


def kinds(outputs):
    """What a cell's outputs are; their numbers may differ in the last digits from one CPU to another."""
    return [sorted(output.get("data", {"text/plain": 0})) for output in outputs]


@pytest.mark.pages
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_holds_its_outputs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = smaller(path)
    outputs = run_cells(notebook, path.name)
    held = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [kinds(cell) for cell in held] == [kinds(cell) for cell in outputs], (
        "python website/execute.py writes them anew"
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_its_images_are_described(path):
    assert path.stat().st_size < LARGEST
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        shows = any("image/jpeg" in output.get("data", {}) for output in cell.get("outputs", ()))
        assert not shows or cell["metadata"]["alt"], f"{cell['id']}: say in the metadata's `alt` what the picture shows"
