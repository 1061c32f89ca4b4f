"""The twin of the family that a module of tests is named after, `test_NAME.py`, or that a test names."""

import pytest


@pytest.fixture(scope="module")
def folder(request, twin):
    return twin(getattr(request, "param", request.module.__name__.removeprefix("test_")))


@pytest.fixture(scope="module")
def model(loaded, folder):
    return loaded(folder.name)
