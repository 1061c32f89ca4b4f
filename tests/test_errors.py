import pytest

from seediff.errors import first_line


@pytest.mark.parametrize(("error", "text"), [(ValueError(), "ValueError"), (OSError("\n a \nb"), "a"), (KeyError("x"), "'x'")])
def test_first_line(error, text):
    assert first_line(error) == text
