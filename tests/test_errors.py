import pytest

from seediff.errors import first_line

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
