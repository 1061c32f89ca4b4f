from dataclasses import replace

import pytest

from seediff.cli.main import main
from seediff.config.generate_config import GenerateConfig
from seediff.config.speeds import remember_speed, time_line
from seediff.run.generate_job import GenerateJob

CONFIG = GenerateConfig(("dog",), device="cpu", dtype="float32", threads=2)
UNKNOWN = "Time: unknown until a first run"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/seediff/speeds.json"


def test_a_measurement_holds_for_the_settings_that_decide_it():
    assert time_line(CONFIG, 100, "none").startswith(UNKNOWN)
    remember_speed(CONFIG, 2.5, "none")
    expected = "Time: about 0:04:10 for all; an earlier run on this machine took 2.5 s for each"
    assert time_line(replace(CONFIG, classes=("cat", "cow"), seed=3, batch_size=2), 100, "none") == expected
    for other in (replace(CONFIG, steps=20), replace(CONFIG, device="cuda"), replace(CONFIG, size=256)):
        assert time_line(other, 100, "none").startswith(UNKNOWN)
    assert time_line(CONFIG, 100, "model").startswith(UNKNOWN)


@pytest.mark.parametrize("content", ["no json", '{"a": "b"}', None])
def test_a_broken_file_is_replaced_and_one_that_cannot_be_written_stops_no_run(cache, content):
    if content is None:
        cache.parent.parent.write_text("a file where the folder should be")
    else:
        cache.parent.mkdir(parents=True)
        cache.write_text(content)
    assert time_line(CONFIG, 1).startswith(UNKNOWN)
    remember_speed(CONFIG, 1.0)
    assert time_line(CONFIG, 1).startswith(UNKNOWN) == (content is None)


def test_a_run_is_measured_and_the_next_dry_run_says_it(tmp_path, cache, monkeypatch, capsys):
    """Before it is finished, which takes as long as the whole dataset asks for, however few images the run made."""
    finish, measured = GenerateJob.finish, []

    def watched(*arguments):
        measured.append(cache.is_file())
        finish(*arguments)

    monkeypatch.setattr(GenerateJob, "finish", watched)
    line = ["generate", "--classes", "dog", "--per-class", "4", "--size", "64", "--steps", "2", "--device", "cpu"]
    assert main([*line, "--out", str(tmp_path / "a"), "--quiet"]) == 0
    assert measured == [True]
    assert main([*line, "--out", str(tmp_path / "b"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "Would make: 4 images in 1 batch, each of 64×64, about " in said
    assert "\nTime: about 0:00:0" in said
    assert "Capture: " not in said
    assert "default" not in said
    assert main([*line, "--out", str(tmp_path / "b"), "--dry-run", "--verbose"]) == 0
    said = capsys.readouterr().out
    assert "\nCapture: " in said
    assert "\nFrom default: " in said
