"""Pipelines that no family has: refused in the same line by plans, by runs and by loading, before anything else of the
folder is read.
"""

import json

import pytest
from PIL import Image

from seediff.cli.commands import main
from seediff.errors import UserError
from seediff.models.registry import load_model

COMMANDS = (("generate", "--classes", "dog"), ("mask", "photo.png", "--classes", "dog"), ("segment", "photo.png"))


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
def test_the_line_is_that_of_loading(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("photo.png")
    (tmp_path / "model").mkdir()
    for pipeline, dry in (("KolorsPipeline", True), ("Foo\nPipeline", False)):
        (tmp_path / "model" / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
        with pytest.raises(UserError) as error:
            load_model("model", device="cpu")
        assert main([*command, "--model", "model", "--device", "cpu", "--out", "out", *["--dry-run"] * dry]) == 2
        said = " ".join(str(error.value).splitlines()).removeprefix("model: ")
        assert capsys.readouterr().err.splitlines()[-1].endswith(said)
    assert not (tmp_path / "out" / "seediff.toml").exists()
