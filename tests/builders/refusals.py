"""What a user is told where something cannot be done."""

from contextlib import contextmanager

import pytest

from seediff.errors import UserError


@contextmanager
def user_error(message):
    """What is inside ends with a `UserError` of one line, perhaps with others below it, in which the regular expression
    `message` is found."""
    with pytest.raises(UserError, match=message) as caught:
        yield caught
    assert all(line.startswith(" ") for line in str(caught.value).splitlines()[1:])


def refused(capsys, *words, code=2):
    """The one line on stderr, perhaps with others below it, with which a command line of these words, or lines of
    words, ends; nothing is on stdout
    but what was to be made.
    """
    from seediff.cli.main import main

    capsys.readouterr()
    assert main([word for given in words for word in str(given).split()]) == code
    out, err = capsys.readouterr()
    assert out == "" or (out.removeprefix("Would ").startswith("make: ") and out.count("\n") == 1)
    assert err.startswith("seediff: ")
    assert all(line.startswith("  ") for line in err.splitlines()[1:])
    return err
