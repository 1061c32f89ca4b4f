import csv

import pytest
from items import write_pets

from seediff.cli.main import main


@pytest.fixture
def data(tmp_path):
    return str(write_pets(tmp_path / "data"))


SMALL = "--architecture segformer --backbone tiny --crop 64 --test-side 64 --batch-size 2 --device cpu".split()


def test_stages_and_resume(data, tmp_path, capsys):
    out = tmp_path / "out"
    real = write_pets(tmp_path / "real", 2)
    stages = f"--steps 2 --finetune {real} --finetune-steps 1 --val-share 0.25".split()
    line = ["train", data, "--out", str(out), *SMALL, *stages]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "3 steps, " in said
    reading = "0 → background: images 4"  # before the first step, of all that is read
    assert reading in said.partition("3 steps, ")[0]
    assert f"seediff predict {out} PHOTOS --out predicted" in said
    assert "on 1 sample, at step 3" in said
    assert [row["stage"] for row in csv.DictReader((out / "losses.csv").open())] == ["train", "train", "finetune"]
    assert main(line) == 0
    assert "it was complete" in capsys.readouterr().out
    assert main([*line, "--seed", "1"]) == 2
    assert "holds another training (seed: 0 → 1)" in capsys.readouterr().err
    assert main([*line, "--seed", "1", "--dry-run"]) == 2
    assert "holds another training (seed: 0 → 1)" in capsys.readouterr().err
    assert main([*line, "--dry-run"]) == 0
    assert reading in capsys.readouterr().out
    (out / "training.json").write_text('{"step": 3, "data": ["of an earlier version"]}')
    assert main(line) == 2
    assert "holds a training that is damaged or of another version of seediff" in capsys.readouterr().err
    # The configuration of a training is one for another.
    again = f"--config {out}/seediff.toml --out {tmp_path}/again --dry-run".split()
    assert main(["train", data, *again]) == 0
    assert "segformer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], None),
        ("--val pets --val-share 0.1".split(), "--val-share: 0.1 is given together with other validation sets"),
        (["--epochs", "-1"], "--epochs: -1 must be above 0"),
        (["--scale", "1"], "Invalid value for --scale: '1' must be 2 values, each a number"),
        (["--classes", "dog"], "class 'cat' is not in dog"),
        (["--workers", "-1"], 'Invalid value "-1" for --workers'),
    ],
)
def test_bad_input(data, tmp_path, capsys, options, says):
    code = main(["train", data, "--out", str(tmp_path / "out"), "--backbone", "tiny", *options, "--dry-run"])
    assert code == (2 if says else 0)
    if says:
        error = capsys.readouterr().err
        assert says in error
        assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
