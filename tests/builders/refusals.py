"""What a user is told where something cannot be done."""

from contextlib import contextmanager

import pytest

from seediff.errors import UserError


@contextmanager
def user_error(message):
    """What is inside ends with a `UserError` of one line, in which the regular expression `message` is found."""
    with pytest.raises(UserError, match=message) as caught:
        yield caught
    assert "\n" not in str(caught.value)
