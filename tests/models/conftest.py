"""The families' twins, each saved once in a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest
from builders.reference_attention import BOOKS


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a family's file → the folder of its twin, which nobody may change."""

    @lru_cache
    def folder(name: str) -> Path:
        return BOOKS[name].save(tmp_path_factory.mktemp("models") / name)

    return folder
