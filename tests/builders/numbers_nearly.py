"""Texts whose numbers were computed on another CPU: the words must be the same, the numbers nearly."""

from __future__ import annotations

import re

DECIMAL = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[-+]?\d+)?(?![\w.])")


def assert_nearly(text: str, expected: str) -> None:
    """Numbers with a point may be off by one in the last digit that is shown, or by a ten-thousandth; whole numbers and words by nothing.

    CPUs with other instructions add in another order: a figure at the edge of two roundings is written as the other one, and a fit by least
    squares ends nearby.
    """
    assert DECIMAL.sub("#", text) == DECIMAL.sub("#", expected)
    for number, other in zip(DECIMAL.findall(text), DECIMAL.findall(expected), strict=True):
        assert abs(float(number) - float(other)) <= max(1.01 * _last_digit(number), 1e-4 * abs(float(other))), (number, other)


def _last_digit(number: str) -> float:
    """1234.5 → 0.1, 1.25e-3 → 1e-5."""
    digits, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
