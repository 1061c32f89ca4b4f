"""What studies have measured already, so that nothing is trained twice: scores by segmenter and test, seconds by segmenter.

    work/scores/<segmenter>-<test>.json   as `seediff evaluate` gives them
    work/costs/<segmenter>.json           seconds, by what they were spent on

results.json of a table holds the same figures under the same keys: with them a table goes on where its work folder is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UserError, first_line
from ...files.outputs import make_folders, write_inside

RESULTS = "results.json"
SHOWN = {"miou", "miou_ci95", "pixel_accuracy", "pixel_accuracy_ci95", "groups", "per_class"}
"""What tables show of scores."""


@dataclass(frozen=True)
class Kept:
    """The work folder's figures, and those read from results.json files."""

    work: Path
    reused_scores: Mapping[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    reused_seconds: Mapping[str, float] = field(default_factory=dict)

    def scores(self, segmenter: str, test: str) -> dict[str, Any] | None:
        """What `add_scores` was given, None where nothing was."""
        path = self._scores_path(segmenter, test)
        return _read(path) if path.is_file() else self.reused_scores.get((segmenter, test))

    def add_scores(self, segmenter: str, test: str, scores: Mapping[str, Any]) -> dict[str, Any]:
        """Keep scores, and return them as they are read again."""
        path = self._scores_path(segmenter, test)
        self._write(path, scores)
        return _read(path)

    def seconds(self, segmenter: str) -> float:
        """What a segmenter has cost in all; 0 where nothing is known."""
        costs = self._costs(segmenter)
        return sum(costs.values()) if costs else self.reused_seconds.get(segmenter, 0.0)

    def add_seconds(self, segmenter: str, what: str, seconds: float) -> None:
        costs = self._costs(segmenter)
        self._write(self._costs_path(segmenter), {**costs, what: round(costs.get(what, 0.0) + seconds, 1)})

    def _write(self, path: Path, value: Mapping[str, Any]) -> None:
        make_folders(self.work, path.parent.name)
        write_inside(self.work, f"{path.parent.name}/{path.name}", (json.dumps(value, indent=1) + "\n").encode())

    def _scores_path(self, segmenter: str, test: str) -> Path:
        return self.work / "scores" / f"{segmenter}-{test}.json"

    def _costs_path(self, segmenter: str) -> Path:
        return self.work / "costs" / f"{segmenter}.json"

    def _costs(self, segmenter: str) -> dict[str, float]:
        path = self._costs_path(segmenter)
        return _read(path) if path.is_file() else {}


def open_kept(work: Path, reuse: Sequence[Path] = ()) -> Kept:
    """The figures of a work folder, and of every table below the folders `reuse`. Where several have one, the first is taken.

    Raises UserError for a folder that is not there or holds no table, and for a file that cannot be read.
    """
    scores: dict[tuple[str, str], dict[str, Any]] = {}
    seconds: dict[str, float] = {}
    for folder in reuse:
        if not folder.is_dir():
            raise UserError(f"--reuse {folder}: there is no such folder")
        found = 0
        for path in sorted(folder.rglob(RESULTS)):
            result = _read(path)
            if not isinstance(result, dict) or not {"table", "rows"} <= set(result):
                continue  # another study's
            if "test_keys" not in result:
                raise UserError(f"{path}: was written by an earlier version, which did not say what decides each figure; make it again")
            found += 1
            try:
                for row in result["rows"]:
                    for position, segmenter in enumerate(row["segmenters"]):
                        seconds.setdefault(segmenter, float(row["seconds"][position]))
                        for name, of_seeds in row["tests"].items():
                            scores.setdefault((segmenter, result["test_keys"][name]), _scores(of_seeds[position]))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise UserError(f"{path}: is not results.json of a table that `seediff study` wrote ({first_line(error)})") from error
        if not found:
            raise UserError(f"--reuse {folder}: holds no {RESULTS} of a table that `seediff study` wrote")
    return Kept(work, scores, seconds)


def _scores(found: Any) -> dict[str, Any]:
    """What was found, when a table can show it. Raises TypeError."""
    if not isinstance(found, dict) or not set(found) >= SHOWN:
        raise TypeError(f"scores must have {', '.join(sorted(SHOWN))}")
    return found


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({first_line(error)})") from error
