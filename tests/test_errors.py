import pytest

from seediff.cli import commands
from seediff.errors import first_line


@pytest.mark.parametrize(
    ("error", "text"), [(ValueError(), "ValueError"), (OSError("\n a \nb"), "a"), (KeyError("x"), "'x'")]
)
def test_first_line(error, text):
    assert first_line(error) == text


def test_nesting_that_only_a_writer_cannot_take_is_no_fault(capsys):
    assert commands._explain(RecursionError("maximum recursion depth exceeded"), []) == 2
    assert capsys.readouterr().err == "seediff: a value in the input is nested too deeply\n"
