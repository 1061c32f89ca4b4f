"""What a row says stays when it is read and written, its keys are declared once, and docs/formats.md lists them."""

import json
import random
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from refusals import user_error

from seediff.rows.row import KEYS, OF_MASK, Review, Row, as_row

ROOT = Path(__file__).parents[2]
WORDS = {
    bool: "true or false",
    str: "text",
    int: "whole number",
    float: "number",
    tuple: "list",
    dict: "object",
    Any: "text",
}
HINTS = get_type_hints(Row, include_extras=True)


def kinds_of(hint):
    """The types of a key's values, without absence."""
    if get_origin(hint) is Annotated:
        return kinds_of(get_args(hint)[0])
    if get_origin(hint) in (tuple, dict, Literal) or isinstance(hint, type) or hint is Any:
        return [hint]
    return [one for inner in get_args(hint) for one in kinds_of(inner) if one is not NoneType]


def any_json(chance, depth=0):
    makers = [
        lambda: None,
        lambda: chance.choice([True, False]),
        lambda: chance.choice([0, 1, -7, 2**53 + 1, 2**70]),
        lambda: chance.choice([0.5, -1e-9, 1e300]),
        lambda: chance.choice(["", "é", "a\u2028b", '\\ "', "犬"]),
    ]
    if depth < 3:
        makers.append(lambda: [any_json(chance, depth + 1) for _ in range(chance.randrange(3))])
        makers.append(
            lambda: {key: any_json(chance, depth + 1) for key in ("", "rest", "file_name", "q")[: chance.randrange(5)]}
        )
    return chance.choice(makers)()


def value_of(kind, chance):
    """A value that a key of a type may have in JSON."""
    if kind is Any:
        return any_json(chance) or "x"
    if kind is bool:
        return chance.choice([True, False])
    if get_origin(kind) is tuple:
        return [value_of(kinds_of(get_args(kind)[0])[0], chance) for _ in range(chance.randrange(3))]
    if get_origin(kind) is dict:
        names = ["dog", "potted plant"][: chance.randrange(1, 3)]
        return {name: value_of(kinds_of(get_args(kind)[1])[0], chance) for name in names}
    if get_origin(kind) is not None:  # a Literal
        return chance.choice(get_args(kind))
    if kind in (int, float, str):
        return chance.choice({int: [0, 1, 255], float: [0, 1, 0.25, 0.3333], str: ["", "images/0.png", "é"]}[kind])
    return object_of(kind, chance)


def object_of(kind, chance):
    """A random object of a `Kept` with keys of other programs, in any order."""
    hints = get_type_hints(kind, include_extras=True)
    keys = [key for key in kind.__struct_fields__ if key != "rest"]
    found = {key: any_json(chance) for key in ("", "rest", "tool", "note")[: chance.randrange(5)]}
    for key in keys:
        if chance.random() < 0.6 or key == "operation":
            found[key] = value_of(chance.choice(kinds_of(hints[key])), chance)
    items = [*found.items()]
    chance.shuffle(items)
    return dict(items)


def test_what_is_read_is_written():
    chance = random.Random(0)
    for _ in range(300):
        line = object_of(Row, chance)
        assert json.loads(json.dumps(as_row(line).to_json())) == line


def test_null_is_absence():
    line = {"seed": None, "classes": None, "source": None, "review": {"verdict": None, "by": "ana"}, "note": None}
    row = as_row(line)
    assert (row.seed, row.class_names, row.review_or_empty.verdict) == (None, (), None)
    assert row.to_json() == {"review": {"by": "ana"}, "note": None}


def test_letters_are_read_as_one_and_types_are_checked():
    assert as_row({"classes": ["e\u0301"]}).to_json() == {"classes": ["é"]}
    with user_error("a row: `review.verdict`: "):
        as_row({"review": {"verdict": "perhaps"}})


def test_what_describes_a_mask_goes_with_it():
    everything = Row(**dict.fromkeys(KEYS, 1), rest={"note": 2})
    after = everything.of_other_mask(review=Review(corrected=True))
    assert {key for key in KEYS if getattr(after, key) is None} == {*OF_MASK}
    assert {"classes", "class_ids", "area", "flags", "confidence"} <= {*OF_MASK}
    assert (after.seed, after.rest) == (1, {"note": 2})


def test_the_page_lists_every_key_with_its_sentence():
    lines = ["| key | type | meaning |", "|---|---|---|"]
    for name, key in KEYS.items():
        kind = kinds_of(HINTS[name])[0]
        word = WORDS.get(get_origin(kind) or kind, "object")
        lines.append(f"| `{name}` | {word} | {key.about} |")
    assert "\n".join(lines) in (ROOT / "docs/formats.md").read_text(encoding="utf-8"), "\n".join(lines)
