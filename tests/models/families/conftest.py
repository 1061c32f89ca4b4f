"""The twin of the family that a module of tests is named after: `test_NAME.py`."""

from __future__ import annotations

import pytest
from builders.book import BOOKS

from seediff.models.registry import load_model


@pytest.fixture(scope="module")
def folder(request, tmp_path_factory):
    name = request.module.__name__.removeprefix("test_")
    return BOOKS[name].save(tmp_path_factory.mktemp("models") / name)


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")
