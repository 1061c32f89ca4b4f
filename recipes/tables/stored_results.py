"""Figures that studies have already measured, so that nothing is trained twice: scores by segmenter and test.

    work/scores/<segmenter>-<test>.json   as `seediff evaluate` writes them

A table's results.json holds the same figures under the same keys, so a table can be continued from it after its work
folder is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seediff.errors import UserError
from seediff.files.outputs import write_atomic
from seediff.files.reading import read_json

RESULTS = "results.json"
SHOWN = ("miou", "miou_ci95", "pixel_accuracy", "pixel_accuracy_ci95")
"""The scores that tables show, and keep, beside those of groups and classes; `seediff evaluate` writes more."""


@dataclass(frozen=True)
class Kept:
    """The figures in the work folder, and those read from results.json files."""

    work: Path
    reused_scores: Mapping[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def scores(self, segmenter: str, test: str) -> dict[str, Any] | None:
        """The stored scores of a segmenter on a test; None if there are none."""
        path = self._scores_path(segmenter, test)
        return read_scores(path) if path.is_file() else self.reused_scores.get((segmenter, test))

    def add_scores(self, segmenter: str, test: str, scores: Mapping[str, Any]) -> dict[str, Any]:
        """Store scores, and return them as they are read back."""
        path = self._scores_path(segmenter, test)
        write_atomic(path, (json.dumps(scores, indent=1) + "\n").encode())
        return read_scores(path)

    def _scores_path(self, segmenter: str, test: str) -> Path:
        return self.work / "scores" / f"{segmenter}-{test}.json"


def open_kept(work: Path, reuse: Sequence[Path] = ()) -> Kept:
    """The figures in a work folder and in every table below the folders `reuse`. If several have the same figure, the
    first counts.

    Raises UserError for a folder that does not exist.
    """
    scores: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in reuse:
        if not folder.is_dir():
            raise UserError("reuse", f"{folder}: there is no such folder")
        for path in sorted(folder.rglob(RESULTS)):
            result = read_json(path, dict[str, Any])
            for row in result["rows"] if "table" in result else ():  # others are of another kind of study
                for position, segmenter in enumerate(row["segmenters"]):
                    for name, of_seeds in row["tests"].items():
                        scores.setdefault((segmenter, result["test_keys"][name]), shown_scores(of_seeds[position]))
    return Kept(work, scores)


def read_scores(path: Path) -> dict[str, Any]:
    """What tables show of a file that `seediff evaluate --json` wrote."""
    return shown_scores(read_json(path, dict[str, Any]))


def shown_scores(found: Mapping[str, Any]) -> dict[str, Any]:
    def kept(rows: Mapping[str, Any], key: str) -> dict[str, Any]:
        return {name: {one: row[one] for one in (key, f"{key}_ci95")} for name, row in rows.items()}

    groups, classes = kept(found["groups"], "miou"), kept(found["per_class"], "iou")
    return {**{key: found[key] for key in SHOWN}, "groups": groups, "per_class": classes}
