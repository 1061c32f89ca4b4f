from recipes.tables.__main__ import Options, app, chosen_table
from seediff.cli.main import main


def test_a_dry_run_lists_what_would_be_drawn_and_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main("strategy --dry-run --rows CA --rows SeeDiff --seeds 0,1".split(), app) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == chosen_table("strategy", Options()).title
    assert [line.split()[:2] for line in lines] == [["draw", "1000"], ["train", "tiny"], ["train", "tiny"]]
    assert all(line.endswith(": 2 times") for line in lines[1:])
    assert list(tmp_path.iterdir()) == []
