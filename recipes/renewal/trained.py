"""Checks whether the tables of trained segmenters are current. Each figure has a key: a digest of everything that
determines it.
"""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from pathlib import Path

from recipes.tables.definition import packaged, read_table
from recipes.tables.sources import Places
from recipes.tables.stored_results import Kept, open_kept
from recipes.tables.trained import test_digest, training_digest, training_of
from seediff.devices import BF16_SWITCH

STUDIES = Path(__file__).parents[2] / "docs" / "studies"


def rows_without_figures(name: str) -> list[str]:
    """Rows of the table, as it is defined now, for which docs/studies lacks figures with the current weights, data and
    settings.
    """
    before = os.environ.get(BF16_SWITCH)
    os.environ[BF16_SWITCH] = (
        "1"  # the published figures are from a CPU with bfloat16, and the number format is part of a key
    )
    try:
        return _rows_without_figures(name)
    finally:
        os.environ.pop(BF16_SWITCH) if before is None else os.environ.update({BF16_SWITCH: before})


def _rows_without_figures(name: str) -> list[str]:
    table, places = read_table(packaged(name, "embedded")), Places(Path(tempfile.gettempdir()), {})
    seeds = json.loads((STUDIES / name / "results.json").read_text(encoding="utf-8"))["seeds"]
    missing = []
    for row in table.rows:
        segmenters = [training_digest(training_of(row, table, seed), row, table, places) for seed in seeds]
        tests = [test_digest(table.tests[test], places) for test in row.tests]
        if not all(_figures().scores(segmenter, test) for segmenter in segmenters for test in tests):
            missing.append(row.name)
    return missing


@cache
def _figures() -> Kept:
    return open_kept(Path(tempfile.gettempdir()) / "no such folder", [STUDIES])
