import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders.configured import PRESET, write_model
from PIL import Image

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.cli.main import main

TABLE = Path(__file__).with_name("resolved.json")
"""`files`: name → text of a file for --config or --preset, `lines`: command line → what
differs from the configuration's own defaults, and what is said about thresholds."""

JOBS = (
    "seediff.run.generate_job.GenerateJob",
    "seediff.run.mask_job.MaskJob.of",
    "seediff.run.segment_job.SegmentJob.of",
    "seediff.dataset.augmented.open_augmented",
)


class Resolved(Exception):
    pass


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with models, photographs and the table's files; commands stop where they would begin to work."""
    write_model(tmp_path / "own", PRESET)
    write_model(tmp_path / "bare")
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    for name, text in json.loads(TABLE.read_text(encoding="utf-8"))["files"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("SEEDIFF_DEBUG", "1")

    def stop(config, *_, **__):
        raise Resolved(config)

    for target in (*JOBS, "seediff.train.run.train"):
        monkeypatch.setattr(target, stop)
    stage = SimpleNamespace(items=[SimpleNamespace(size=lambda: (512, 512))], step_count=lambda size: 1)
    monkeypatch.setattr(
        "seediff.train.stages.open_training",
        lambda *_, **__: SimpleNamespace(stages=(stage,), validation=(), classes=(), sets=()),
    )
    monkeypatch.setattr("seediff.devices.default_device", lambda: "cuda")
    return tmp_path


def flat(table, prefix=""):
    if not isinstance(table, dict):
        return {prefix[:-1]: list(table) if isinstance(table, tuple) else table}
    return {name: value for key, inner in table.items() for name, value in flat(inner, f"{prefix}{key}.").items()}


def resolved(line):
    """What a command line ends with, but for what is as in the configuration's own class."""
    with pytest.raises(Resolved) as caught:
        main([*line.split(), "--out", "out", "--quiet"])
    config = caught.value.args[0]
    needed = {"classes": ("dog",)} if hasattr(config, "classes") else {}
    if hasattr(config, "photos"):
        needed["model"] = "mini"
    plain = {**flat(type(config)(**needed).values()), "classes": []}
    return {name: value for name, value in flat(config.values()).items() if value != plain[name]}


def test_values_are_those_of_the_table(place):
    table = json.loads(TABLE.read_text(encoding="utf-8"))["lines"]
    differing = {line: (wanted, found) for line, wanted in table.items() if (found := resolved(line)) != wanted}
    assert differing == {}
