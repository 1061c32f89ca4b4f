"""Figures that studies have already measured, so that nothing is trained twice: scores by segmenter and test, seconds
by segmenter.

    work/scores/<segmenter>-<test>.json   as `seediff evaluate` writes them
    work/costs/<segmenter>.json           seconds by activity

A table's results.json holds the same figures under the same keys, so a table can be continued from it after its work
folder is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seediff.errors import UserError
from seediff.files.documents import fit, read_json
from seediff.files.outputs import write_atomic

RESULTS = "results.json"
Bounds = list[float | None] | None


@dataclass(frozen=True)
class GroupScores:
    miou: float | None
    miou_ci95: Bounds


@dataclass(frozen=True)
class ClassScores:
    iou: float | None
    iou_ci95: Bounds


@dataclass(frozen=True)
class ShownScores:
    """The scores that tables show, and keep; `seediff evaluate` writes more."""

    miou: float | None
    miou_ci95: Bounds
    pixel_accuracy: float | None
    pixel_accuracy_ci95: Bounds
    groups: dict[str, GroupScores]
    per_class: dict[str, ClassScores]


@dataclass(frozen=True)
class TableRow:
    """A row of results.json. seconds, and the lists in tests (test → scores): one entry per segmenter."""

    segmenters: list[str]
    seconds: list[float]
    tests: dict[str, list[dict[str, Any]]]

    def __post_init__(self) -> None:
        if {len(self.seconds), *map(len, self.tests.values())} != {len(self.segmenters)}:
            raise UserError(
                f"'seconds' and every test must have {len(self.segmenters)} entries, one for each of 'segmenters'"
            )


@dataclass(frozen=True)
class TableResults:
    """The part of results.json that is read. test_keys: test → the key of its scores."""

    table: str
    test_keys: dict[str, str]
    rows: list[TableRow]

    def __post_init__(self) -> None:
        if unknown := {name for row in self.rows for name in row.tests} - set(self.test_keys):
            raise UserError(f"test_keys must name every test; '{min(unknown)}' is missing")


@dataclass(frozen=True)
class Kept:
    """The figures in the work folder, and those read from results.json files."""

    work: Path
    reused_scores: Mapping[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    reused_seconds: Mapping[str, float] = field(default_factory=dict)

    def scores(self, segmenter: str, test: str) -> dict[str, Any] | None:
        """The stored scores of a segmenter on a test; None if there are none."""
        path = self._scores_path(segmenter, test)
        return read_scores(path) if path.is_file() else self.reused_scores.get((segmenter, test))

    def add_scores(self, segmenter: str, test: str, scores: Mapping[str, Any]) -> dict[str, Any]:
        """Store scores, and return them as they are read back."""
        path = self._scores_path(segmenter, test)
        self._write(path, scores)
        return read_scores(path)

    def seconds(self, segmenter: str) -> float:
        """The total seconds that a segmenter has cost; 0 if unknown."""
        costs = self._costs(segmenter)
        return sum(costs.values()) if costs else self.reused_seconds.get(segmenter, 0.0)

    def add_seconds(self, segmenter: str, what: str, seconds: float) -> None:
        costs = self._costs(segmenter)
        self._write(self._costs_path(segmenter), {**costs, what: round(costs.get(what, 0.0) + seconds, 1)})

    def _write(self, path: Path, value: Mapping[str, Any]) -> None:
        write_atomic(path, (json.dumps(value, indent=1) + "\n").encode())

    def _scores_path(self, segmenter: str, test: str) -> Path:
        return self.work / "scores" / f"{segmenter}-{test}.json"

    def _costs_path(self, segmenter: str) -> Path:
        return self.work / "costs" / f"{segmenter}.json"

    def _costs(self, segmenter: str) -> dict[str, float]:
        path = self._costs_path(segmenter)
        return read_json(path, dict[str, float]) if path.is_file() else {}


def open_kept(work: Path, reuse: Sequence[Path] = ()) -> Kept:
    """The figures in a work folder and in every table below the folders `reuse`. If several have the same figure, the
    first counts.

    Raises UserError for a folder that does not exist or holds no table, and for a file that cannot be read.
    """
    scores: dict[tuple[str, str], dict[str, Any]] = {}
    seconds: dict[str, float] = {}
    for folder in reuse:
        if not folder.is_dir():
            raise UserError("reuse", f"{folder}: there is no such folder")
        found = 0
        for path in sorted(folder.rglob(RESULTS)):
            result = read_json(path, dict[str, Any])
            if not {"table", "rows"} <= set(result):
                continue  # of another kind of study
            table = fit(result, TableResults, str(path))
            found += 1
            for number, row in enumerate(table.rows):
                for position, segmenter in enumerate(row.segmenters):
                    seconds.setdefault(segmenter, row.seconds[position])
                    for name, of_seeds in row.tests.items():
                        where = f"{path}: rows[{number}].tests, '{name}'"
                        scores.setdefault((segmenter, table.test_keys[name]), shown_scores(of_seeds[position], where))
        if not found:
            raise UserError("reuse", f"{folder} holds no {RESULTS} of a table that `python -m recipes.tables` wrote")
    return Kept(work, scores, seconds)


def read_scores(path: Path) -> dict[str, Any]:
    """What tables show of a file that `seediff evaluate --json` wrote. Raises UserError for a faulty file."""
    return shown_scores(read_json(path, dict[str, Any]), str(path))


def shown_scores(found: dict[str, Any], where: str) -> dict[str, Any]:
    """The fields of ShownScores. Raises UserError if one is missing or of another type."""
    return asdict(fit(found, ShownScores, where))
