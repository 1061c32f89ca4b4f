import pytest

from seediff.cli import main
from seediff.errors import UserError
from seediff.files.output_folders import STORES, Url, parse_out

HERE = {
    "export": ["pets", "--to", "voc"],
    "import": ["pets", "--from", "voc"],
    "filter": ["pets"],
    "merge": ["pets"],
    "split": ["pets"],
    "train": ["pets"],
    "predict": ["model", "photos"],
    "evaluate": ["model", "--data", "pets"],
}
STORED = {
    "generate": ["--classes", "dog"],
    "mask": ["photos", "--classes", "dog"],
    "segment": ["photos"],
    "augment": ["pets", "--add", "flip:1"],
}


@pytest.mark.parametrize(
    "out",
    ["s3://bucket/pets", "memory://pets", "http://127.0.0.1:9/pets", ""],
)
@pytest.mark.parametrize("command", [*HERE, *STORED])
def test_places_that_are_none(command, out, tmp_path, monkeypatch, capsys):
    if command in STORED and out.startswith("s3"):
        pytest.skip("a store that it writes to")
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), *(HERE | STORED)[command], "--out", out]) == 2
    said = capsys.readouterr().err
    assert said.startswith("seediff: --out ")
    assert said.count("\n") == 1
    assert "--out" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["check", "stats", "evaluate model --data"])
def test_json_goes_to_a_file_of_this_machine(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for place in ("s3://bucket/scores.json", ""):
        assert main([*command.split(), "pets", "--json", place]) == 2
        assert capsys.readouterr().err.startswith("seediff: --json ")
    assert list(tmp_path.iterdir()) == []


def test_schemes():
    assert parse_out("S3://bucket/a") == Url("s3://bucket/a")
    assert {parse_out(f"{scheme}://a/b") for scheme in STORES} == {Url(f"{scheme}://a/b") for scheme in STORES}
    for wrong in ("http://a/b", "zip://a::s3://b", "s3://a::http://b/c", "data:://x"):
        with pytest.raises(UserError, match="is not a place to write to"):
            parse_out(wrong)
