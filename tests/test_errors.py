import warnings

import pytest
from cyclopts import App

from seediff.cli.main import main
from seediff.errors import Notice, UserError, first_line

STRICT = "Validation error for field 'hidden_act':\n    TypeError: Field 'hidden_act' expected str, got int (value: 3)"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError(), "value error"),
        (ValueError(" : \n\n"), "value error"),
        (OSError("\n a \nb"), "a"),
        (KeyError("x"), "there is no 'x'"),
        (KeyError("a whole sentence"), "'a whole sentence'"),
        (
            RuntimeError("Errors in loading:\n\n\tsize mismatch for conv\n\tand more"),
            "Errors in loading: size mismatch for conv",
        ),
        (
            TypeError(STRICT),
            "Validation error for field 'hidden_act': Field 'hidden_act' expected str, got int (value: 3)",
        ),
        (RuntimeError("torch._dynamo.exc.InternalTorchDynamoError: ValueError: no graph"), "no graph"),
        (ValueError("ValueErrors of others: none"), "ValueErrors of others: none"),
    ],
)
def test_what_another_librarys_error_says_in_a_line(error, text):
    assert first_line(error) == text


LONG = "dog " * 20000
LONG_TEXTS = {
    "a problem": lambda: UserError("prompt", f"'{LONG}' is wrong", "say less"),
    "a whole sentence": lambda: UserError(f"the prompt '{LONG}' is wrong; say less"),
    "a subject": lambda: UserError(LONG, "is wrong", "say less"),
    "another library's error": lambda: OSError(f"{LONG}: say less"),
}


@pytest.mark.parametrize("error", LONG_TEXTS.values(), ids=LONG_TEXTS)
def test_a_message_is_not_as_long_as_what_the_user_wrote(error, capsys):
    program = App()

    @program.default
    def fail():
        raise error()

    assert main([], program) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert len(said) < 2100
    assert len(warnings.formatwarning(LONG, Notice, "", 1)) < 2100
    assert said.endswith("say less")
    if isinstance(error(), UserError):
        assert len(str(error())) < 2100
