"""Compares texts whose numbers were computed on different CPUs: words must be equal, numbers nearly."""

import re

DECIMAL = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[-+]?\d+)?(?![\w.])")


def assert_nearly(text, expected):
    """Numbers with a decimal point may differ by one in the last digit shown, or by a ten-thousandth; integers and
    words must be equal.

    CPUs with other instructions add in another order. A figure halfway between two roundings may then be rounded the
    other way, and a least-squares fit may end slightly elsewhere.
    """
    assert DECIMAL.sub("#", text) == DECIMAL.sub("#", expected)
    for number, other in zip(DECIMAL.findall(text), DECIMAL.findall(expected), strict=True):
        assert abs(float(number) - float(other)) <= max(1.01 * _last_digit(number), 1e-4 * abs(float(other))), (
            number,
            other,
        )


def _last_digit(number):
    """1234.5 → 0.1, 1.25e-3 → 1e-5."""
    digits, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
