"""What a table of trained segmenters says: figures, the paper's beside them, a fit, a plot."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from recipes.tables.results import figure, fitted, markdown, plot, summarised, write_table


def scores(miou: float) -> dict:
    return {
        "miou": miou,
        "miou_ci95": [miou - 0.02, miou + 0.02],
        "pixel_accuracy": 0.9,
        "pixel_accuracy_ci95": [0.8, 1.0],
        "groups": {"unseen": {"miou": 0.5, "miou_ci95": [0.4, 0.6]}},
        "per_class": {"Human": {"iou": 0.3, "iou_ci95": [0.2, 0.4]}},
    }


RESULT = {
    "table": "main",
    "title": "A <table>",
    "paper": "table 1",
    "note": "",
    "metrics": ["miou"],
    "seeds": [0, 1],
    "train": {"backbone": "tiny"},
    "data": {},
    "version": "1",
    "rows": [
        {
            "name": "CA",
            "paper": {"miou": 68.8},
            "train": [],
            "then": [],
            "seconds": [30.0, 30.0],
            "tests": {"held_out": [scores(0.5), scores(0.6)]},
        },
        {
            "name": "mine & yours",
            "paper": {},
            "seconds": [15.0, 15.0],
            "tests": {"held_out": [scores(0.7), scores(0.7)]},
        },
    ],
}


def test_figures():
    first, second = summarised(RESULT)
    assert (first["mean"], first["lowest"], first["highest"], first["ci95"], first["paper"]) == (
        55.0,
        50.0,
        60.0,
        [53.0, 57.0],
        68.8,
    )
    assert second["paper"] is None
    assert figure(scores(0.5), "unseen") == (0.5, [0.4, 0.6])
    assert figure(scores(0.5), "human") == (0.3, [0.2, 0.4])
    assert figure(scores(0.5), "Pixel_Accuracy")[0] == 0.9
    assert figure(scores(0.5), "mIoU")[0] == 0.5


def test_a_papers_figure_may_be_of_one_test():
    row = {
        **RESULT["rows"][0],
        "paper": {"shift.miou": 59.4},
        "tests": {"held_out": [scores(0.5)], "shift": [scores(0.4)]},
    }
    assert [entry["paper"] for entry in summarised({**RESULT, "rows": [row]})] == [None, 59.4]


def test_markdown_and_plot():
    rows = summarised(RESULT)
    text = markdown(RESULT, rows)
    assert "| CA | 55.0 | 50.0–60.0 | 53.0–57.0 | 68.8 |" in text
    assert "seeds 0, 1" in text
    tree = ElementTree.fromstring(plot(RESULT, rows))
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"A <table>", "mine & yours", "55.0"} <= set(texts)
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}circle"))) == 1  # the one figure of the paper


def test_fit_without_saturation_is_a_line():
    rows = [
        {"row": str(n), "metric": "miou", "mean": value}
        for n, value in ((250, 54.3), (500, 53.2), (1000, 53.9), (2000, 54.6), (4000, 55.3))
    ]
    assert fitted(rows, "miou") == {"at_first": 53.58, "per_doubling": 0.34, "largest_error": 0.72}
    straight = [{**row, "mean": 10.0 + 2 * number} for number, row in enumerate(rows)]
    assert fitted(straight, "miou") == {"at_first": 10.0, "per_doubling": 2.0, "largest_error": 0.0}
    result = {**RESULT, "rows": []}
    assert "Fit: 10.0 at first and 2.0 a doubling, off by at most 0.0." in markdown(
        result, [], fitted(straight, "miou")
    )


def test_fit_finds_a_power_law():
    rows = [
        {"row": str(n), "test": "t", "metric": "miou", "mean": 80 - 300 * n**-0.6} for n in (250, 500, 1000, 2000, 4000)
    ]
    found = fitted(rows, "miou")
    assert found is not None
    assert found["a"] == pytest.approx(80, abs=0.5)
    assert found["c"] == pytest.approx(0.6, abs=0.05)
    assert found["largest_error"] < 0.05
    assert fitted(rows[:3], "miou") is None
    assert fitted([*rows, {**rows[0], "row": "CA"}], "miou") is None


def test_files(tmp_path):
    write_table(tmp_path / "a" / "b", RESULT)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "results.json",
        "results.md",
        "results.svg",
    ]
    assert json.loads((tmp_path / "a/b/results.json").read_text())["summary"][0]["mean"] == 55.0
