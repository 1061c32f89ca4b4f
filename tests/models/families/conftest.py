"""The twin of the family that a module of tests is named after: `test_NAME.py`."""

import pytest

from seediff.models.registry import load_model


@pytest.fixture(scope="module")
def folder(request, twin):
    return twin(request.module.__name__.removeprefix("test_"))


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder), device="cpu")
