"""`seediff doubt`, and `check` and `filter --worst` after it."""

import json

from items import rows_of, write_pets

from seediff.cli.main import main
from seediff.train import cross_fit


def test_doubt_goes_on_after_an_interruption_and_names_the_worst(tmp_path, capsys, monkeypatch):
    pets = write_pets(tmp_path / "pets")
    line = ["doubt", str(pets), "--weights", "scratch", "--steps", "1", "--device", "cpu"]
    load = cross_fit.load_segmenter
    monkeypatch.setattr(cross_fit, "load_segmenter", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(line) == 130
    said = capsys.readouterr().err
    assert "interrupted with 1 of 2 steps taken; run the same command to continue" in said
    assert "support" not in rows_of(pets)[0]
    assert (tmp_path / ".pets.doubt").is_dir()

    monkeypatch.setattr(cross_fit, "load_segmenter", load)
    assert main([*line, "--json", str(tmp_path / "doubt.json")]) == 0
    said = capsys.readouterr().out
    rows = {row["file_name"].split("/")[1].removesuffix(".png"): row for row in rows_of(pets)}
    found = json.loads((tmp_path / "doubt.json").read_text())["samples"]
    assert [one["doubt"] for one in found] == sorted((one["doubt"] for one in found), reverse=True)
    assert {one["sample"]: one["support"] for one in found} == {name: row["support"] for name, row in rows.items()}
    first = found[0]["sample"]
    listed = f"Most doubtful (class to look at):\n  {first}    {next(iter(rows[first]['support']))}\n"
    assert listed in said
    assert "below about 150 samples" in said
    assert not (tmp_path / ".pets.doubt").exists()

    assert main(["check", str(pets)]) == 0
    assert listed in capsys.readouterr().out
    assert main(["filter", str(pets), "--worst", "1", "--out", str(tmp_path / "worst")]) == 0
    assert [row["file_name"] for row in rows_of(tmp_path / "worst")] == [f"images/{first}.png"]
