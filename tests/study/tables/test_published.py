"""The tables of docs/studies: made from the packaged files as they are now, and their pages from their results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seediff.devices import BF16_SWITCH
from seediff.models.fingerprint import model_fingerprint
from seediff.study.tables.definition import packaged, read_table
from seediff.study.tables.kept import open_kept
from seediff.study.tables.results import FILES, write_table
from seediff.study.tables.sources import Places
from seediff.study.tables.trained import test_digest as digest_of_test
from seediff.study.tables.trained import training_digest, training_of

STUDIES = Path(__file__).parents[3] / "docs" / "studies"
TABLES = sorted(path.parent.name for path in STUDIES.glob("*/results.json"))


@pytest.mark.parametrize("name", TABLES)
def test_pages_say_what_the_results_do(name, tmp_path):
    result = json.loads((STUDIES / name / "results.json").read_text(encoding="utf-8"))
    for made in ("summary", "fit"):
        result.pop(made, None)
    write_table(tmp_path, result)
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (STUDIES / name / file).read_bytes(), file


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return open_kept(tmp_path_factory.mktemp("work"), [STUDIES])


@pytest.mark.parametrize("name", [name for name in TABLES if name != "photographs"])  # whose data is part of its keys
def test_every_figure_can_be_reused(name, tmp_path, kept, monkeypatch):
    """Whoever changes a table, or the ingredients of a key, without making the figures again is told so here."""
    monkeypatch.setenv(BF16_SWITCH, "1")  # they were made on a CPU that has it, and the number format is part of a key
    result = json.loads((STUDIES / name / "results.json").read_text(encoding="utf-8"))
    drawn_with = {about["weights"] for about in result["data"].values() if "weights" in about}
    if drawn_with - {model_fingerprint("mini")}:
        pytest.skip("the figures are of other weights of the embedded model")
    table, places = read_table(packaged(name, "embedded")), Places(tmp_path, {})
    for row in table.rows:
        for seed in result["seeds"]:
            segmenter = training_digest(training_of(row, table, seed), row, table, places)
            for test in row.tests:
                assert kept.scores(segmenter, digest_of_test(table.tests[test], places)), f"{row.name}, seed {seed}, {test}"
