import pytest
from cyclopts import App

from seediff.cli.main import main
from seediff.errors import first_line


@pytest.mark.parametrize(
    ("error", "text"), [(ValueError(), "ValueError"), (OSError("\n a \nb"), "a"), (KeyError("x"), "'x'")]
)
def test_first_line(error, text):
    assert first_line(error) == text


def test_nesting_that_only_a_writer_cannot_take_is_no_fault(capsys):
    program = App()

    @program.default
    def fail():
        raise RecursionError("maximum recursion depth exceeded")

    assert main([], program) == 2
    assert capsys.readouterr().err == "seediff: a value in the input is nested too deeply\n"
