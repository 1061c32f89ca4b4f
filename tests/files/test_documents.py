from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import pytest
from damage import DEEP, DIGITS, refusal, truncations

from seediff.errors import UserError
from seediff.files.reading import fit, read_csv, read_json, read_json_lines, read_toml, read_xml, read_yaml


def test_byte_order_mark_is_passed_over_everywhere(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path, dict[str, int]) == {"a": 1}
    assert list(read_json_lines(path, dict[str, int])) == [(1, {"a": 1})]
    path.write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(path) == {"a": 1}
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(path) == {"a": "1"}
    path.write_bytes(b"\xef\xbb\xbffile,a\nx,1\n")
    assert read_csv(path, ["file"]) == [(2, {"file": "x", "a": "1"})]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    ["a = [1.0, -inf]", "a = " + "9" * DIGITS, "a = " + "[" * DEEP, "a = 1\na = 2", 'a = "\\ud800"'],
    ids=range(5),
)
def test_damaged_toml_is_refused_in_a_line(tmp_path, text):
    path = tmp_path / "seediff.toml"
    path.write_bytes(text.encode("latin-1"))
    assert refusal(lambda: read_toml(path), path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", 'line 1: is not YAML: has "a" twice'),
        ("a: \x00", "is not UTF-8 text"),
        ("a: 1\n[b]: 2", "line 2: is not YAML: found unhashable key"),
        ("a: 1\n---\na: 2", "is not YAML: but found another document"),
        ("- 1", "must be an object, not"),
        ("a: " + "[" * 20_000, "is nested too deeply"),
    ],
    ids=range(6),
)
def test_damaged_yaml_is_refused_in_a_line(tmp_path, text, said):
    path = tmp_path / "data.yaml"
    path.write_text(text)
    assert said in str(refusal(lambda: read_yaml(path), path))


def test_values_in_yaml_are_the_texts_that_were_written(tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text("a:\t[no, 010, 1:1]\t# tabs\n2024-01-01: '1'\n!!int c: !!python/name:os.system x\nd:\n")
    assert read_yaml(path) == {"a": ["no", "010", "1:1"], "2024-01-01": "1", "c": "x", "d": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the first line must name the columns file, n, each once"),
        ("file,n,n\n", "the first line must name"),
        ("file,n\na\n", "line 2: must have 2 fields"),
        ('file,n\na,"1\n', "is not CSV"),
        ("file,n\n" + "a" * 200_000 + ",1\n", "is not CSV: field larger"),
    ],
)
def test_damaged_csv_is_refused_in_a_line(tmp_path, text, said):
    path = tmp_path / "classes.csv"
    for data in truncations(b'file,n\na,"1, 2"\nb,3\n', 20):
        path.write_bytes(data)
        refusal(lambda: read_csv(path, ["file", "n"]), path)
    path.write_text(text)
    assert said in str(refusal(lambda: read_csv(path, ["file", "n"]), path))


@dataclass(frozen=True)
class Part:
    name: str
    size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


@dataclass(frozen=True)
class Whole:
    kind: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ()
    pair: tuple[float, float] = (0.0, 0.0)
    parts: tuple[Part, ...] = ()

    def __post_init__(self):
        if len(self.words) > 3:
            raise UserError(f"{len(self.words)} words are more than 3")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "must be an object, not a whole number"),
        ({"words": list("abcd")}, "4 words are more than 3"),
        ({"pair": [1]}, "`pair`: must be a list of length 2, not 1"),
        ({"parts": [{"name": "x", "size": 0}]}, "`parts[0].size`: must be a whole number >= 1"),
        ({"kind": "\x1b[31m" + "x" * 1000}, "`kind`: Invalid enum value '\\x1b[31m"),
    ],
)
def test_message_names_place_value_and_what_should_be(value, said):
    with pytest.raises(UserError) as caught:
        fit(value, Whole, "set.toml")
    assert str(caught.value).startswith(f"set.toml: {said}")
    assert len(str(caught.value)) < 400


def save(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not XML: no element found: line 1"),
        ("<a><b></a>", "is not XML: mismatched tag: line 1"),
        ("<a>\n&unknown;</a>", "is not XML: undefined entity: line 2"),
        ("<b/>", "line 1: the document is a <b>, not <a>"),
        ('<!DOCTYPE a [<!ENTITY x "y">]>\n<a>&x;</a>', "line 1: declares a document type, whose entities are not read"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">\n<a/>', "line 1: declares a document type"),
        ('<?xml version="1.0" encoding="nothing"?><a/>', "is not XML"),
        ('<?xml version="1.0" encoding="utf-16"?><a>'.encode("utf-16"), "is not UTF-8 text (byte 0xff)"),
        ("<a>\n狗</a>".encode("gbk"), "line 2: is not UTF-8 text (byte 0xb9); save it as UTF-8"),
        ("<a>" * 100_000, "is not XML: no element found"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    with pytest.raises(UserError) as error:
        read_xml(save(tmp_path, text), "a")
    assert message in str(error.value)
