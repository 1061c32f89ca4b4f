import pytest

from recipes.tables.__main__ import Options, app, chosen_table, run
from seediff.cli.commands import main
from seediff.errors import UserError


def test_a_dry_run_lists_what_would_be_drawn_and_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["strategy", "--dry-run", "--rows", "CA", "--rows", "SeeDiff", "--seeds", "0,1"], app) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == chosen_table("strategy", Options()).title
    assert [line.split()[:2] for line in lines] == [["draw", "1000"], ["train", "tiny"], ["train", "tiny"]]
    assert all(line.endswith(": 2 times") for line in lines[1:])
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_not_there(capsys):
    assert main(["mian"], app) == 2
    assert "there is no table 'mian' of the embedded world; there are: ablation, ade20k" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, r"scale: 0\.0 must be a share in \(0, 1\]"),
        ({"seeds": "0,one"}, "table main, row 'exact masks, 1k': seed: \"0\" must be a whole number in \\[0,"),
        ({"rows": ("none",)}, "rows: none: the table has no such row; there are:"),
        ({"data": ("voc",)}, "data: voc: write NAME=FOLDER, for example --data"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run("main", Options(out=tmp_path / "out", work=tmp_path / "work", dry_run=True, **options))
    assert list(tmp_path.iterdir()) == []
