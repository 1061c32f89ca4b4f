"""Saves samples as a native dataset with its card and its page. `out` appears only when it is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..files.output_folders import stage_output
from ..files.outputs import put
from ..report.page import write_reports
from .native import write_native
from .sample import Sample


def save_native(
    out: Path | str,
    classes: Sequence[str],
    samples: Iterable[Sample],
    *,
    about: Mapping[str, Any],
    files: Mapping[str, bytes] = MappingProxyType({}),
    **options: Any,
) -> list[dict[str, Any]]:
    """Writes the native dataset `out`, and returns its rows.

    about: facts for the card and the page. files: name → bytes of more files, written after the samples. options: link,
    workers and follow, as for `write_native`. Raises UserError naming a sample that cannot be used.
    """
    with stage_output(out) as folder:
        rows = write_native(folder, classes, samples, **options)
        for name, data in files.items():
            put(folder / name, data)
        write_reports(folder, about, rows, classes)
    return rows
