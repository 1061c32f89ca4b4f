import pytest
from damage import DEEP, DIGITS, refusal, truncations
from refusals import user_error

from seediff.files.documents import read_csv, read_json, read_json_lines, read_toml, read_yaml


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


def test_rows_are_read_until_the_first_bad_one(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n{"a": "x"}\n')
    rows = read_json_lines(path, dict[str, int])
    assert [next(rows), next(rows)] == [(1, {"a": 1}), (3, {"a": 2})]
    with user_error(r"rows.jsonl, line 4: `\[...\]`: must be a whole number, not a text"):
        next(rows)


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


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "line 2: is not YAML: has an alias (*a)"),
        ("a: &a\n  <<: *a", "line 2: is not YAML: has an alias (*a)"),
        ("[" * DEEP, "is nested too deeply"),
        ("a: 1\na: 2", 'line 1: is not YAML: has "a" twice'),
        ("a: \x00", "is not UTF-8 text"),
        ("a: 1\n[b]: 2", "line 2: is not YAML: found unhashable key"),
        ("a: 1\n---\na: 2", "is not YAML: but found another document"),
        ("- 1", "must be an object, not"),
    ],
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
        ("file\n", "the first line must name"),
        ("file,n,n\n", "the first line must name"),
        ("file,n\na\n", "line 2: must have 2 fields"),
        ("file,n\na,1,2\n", "line 2: must have 2 fields"),
        ('file,n\na,"1\n', "is not CSV"),
        ("file,n\n" + "a" * 200_000 + ",1\n", "is not CSV: field larger"),
    ],
)
def test_damaged_csv_is_refused_in_a_line(tmp_path, text, said):
    path = tmp_path / "classes.csv"
    for _, data in truncations(b'file,n\na,"1, 2"\nb,3\n', 20):
        path.write_bytes(data)
        refusal(lambda: read_csv(path, ["file", "n"]), path)
    path.write_text(text)
    assert said in str(refusal(lambda: read_csv(path, ["file", "n"]), path))


def test_json_with_numbers_that_are_none_names_them(tmp_path):
    for name in ("NaN", "-Infinity"):
        (tmp_path / "a.json").write_text(f'{{"a": {name}}}')
        with user_error(f"a.json: has {name}, which JSON does not know; write a number or null$"):
            read_json(tmp_path / "a.json", dict[str, float])
