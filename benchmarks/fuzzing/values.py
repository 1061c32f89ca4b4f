"""Values that programs stumble over, by the kind of place that they are put in."""

from __future__ import annotations

import random
from typing import Any

DEEP = 10_000
"""Levels of nesting."""

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 255, 256, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400),
    *(-0.0, 0.5, -0.5, 1.5, 1e-320, 1e38, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    *("", " ", "\n", "\t", "a\nb", "\r", ".", "..", "/", "~", "-", "--", "../../secret/key", "../secret/key", "a/../../../b"),
    *("/dev/zero", "/dev/full", "C:\\x", "con", "file:///etc/hostname", "http://127.0.0.1:9/x", "s3://bucket/x", "memory://x/y"),
    *("\x00", "a\x00b", "\x1b[2J\x1b]0;pwned\x07", "\x7f", "\x85", "\u2028", "\u202eabc", "\ufeffdog", "\ud800", "\udcff"),
    *("é", "e\u0301", "💥" * 50, "x" * 300, "x" * 70_000, "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>"),
    *("{{7*7}}", "%s%n", "${x}", "[red]x[/red]", "[/]", "&amp;", "]]>", "# x", "*a", "&a x", "!!python/object:x.y {}"),
    *("nan", "inf", "-1", "1e999", "0x10", "١", "true", "yes", "null", "None", "__class__", "dog", "cat", "background"),
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], [0], ["x"], {"x": None}, {"": 0}, [{}], [1, 2, 3, 4, 5], ["dog", "dog"])
FLAGGED = (5, "x", None, [None], [5], {"dog": 1}, [["dog"]], ["dog", "dog"], True, "dog", ["\ud800"], ["\x1b[31m"], [""])

ARGUMENTS = {
    "int": ("", "-1", "0", "1", "2", "x", "1.5", "nan", "inf", "1e5", "0x10", "١", "-9223372036854775809", "9" * 5000, " 3", "--", "+1"),
    "float": ("", "-1", "0", "1", "0.5", "2", "x", "nan", "-nan", "inf", "-inf", "1e999", "1e-320", "-0.0", "0x10", "9" * 5000, "1,5", "½"),
    "text": (
        *("", " ", ",", ",,,", "dog", "dog,dog", "background", "a,b,c,d", "\x1b[2J", "a\nb", "é", "\udcff", "x" * 70_000),
        *("nan,nan", "0.5,0.6", "0.6,0.5", "1,2,3", "inf,inf", "-1,-1", "0,0", "1e999,1", "0:0", "3:1", "-3:1", "all", "truth"),
        *("flip:50%", "flip:-1", "noise:nan%", "x:y", "dog:", "flip+flip:1", ":", "{class}", "{", "{}", "{class.__class__}"),
        *("{class!r:>99}", "%s", "s3://", "../..", "/", "/dev/null"),
    ),
    "path": (
        "",
        " ",
        ".",
        "/dev/null",
        "/nonexistent/x",
        "x" * 300,
        "x/" * 3000,
        "\x1b[31m",
        "a\nb",
        "\udcff",
        "-",
        "~nobody-here/x",
        "con",
    ),
}
"""What is given for an option, by its kind."""


def any_value(rng: random.Random, old: Any = None) -> Any:
    """Something else in place of `old`: often of its kind, but extreme."""
    if isinstance(old, str) and rng.random() < 0.5:
        return rng.choice(TEXTS)
    if isinstance(old, (int, float)) and not isinstance(old, bool) and rng.random() < 0.5:
        return rng.choice(NUMBERS)
    return rng.choice(rng.choice((NUMBERS, TEXTS, OTHERS, FLAGGED)))
