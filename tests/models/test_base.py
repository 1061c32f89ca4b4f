"""A network of one's own beside a base: a folder of it, a hub id, and a file on the hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from builders.families import generate, same_pictures
from builders.single_files import save_single_file
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import load_file, save_file

from seediff.cli.commands import main
from seediff.errors import UserError
from seediff.models import sources
from seediff.models.fingerprint import model_fingerprint
from seediff.models.info import model_info
from seediff.models.registry import load_model
from seediff.models.sources import find_source

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def tuned(twin, tmp_path):
    """A UNet that was trained further, as its training saved it, in a folder of its own."""
    folder = Path(shutil.copytree(twin("unet") / "unet", tmp_path / "tuned"))
    save_file(
        {name: tensor * 1.01 for name, tensor in load_file(folder / WEIGHTS).items()},
        folder / WEIGHTS,
        metadata={"format": "pt"},
    )
    return folder


@pytest.fixture
def expected(twin, tuned, tmp_path):
    """The images of the same as a whole folder."""
    whole = Path(shutil.copytree(twin("unet"), tmp_path / "whole"))
    shutil.copy(tuned / WEIGHTS, whole / "unet")
    return generate(load_model(str(whole), device="cpu"))[0]


def images(*of: str, **options: object) -> list[np.ndarray]:
    return generate(load_model(*of, device="cpu", **options))[0]  # type: ignore[arg-type]


def test_a_folder_of_a_network(twin, tuned, expected, tmp_path):
    base = str(twin("unet"))
    assert same_pictures(images(str(tuned), base=base), expected)
    below = tmp_path / "repository" / "unet"
    shutil.copytree(tuned, below)
    assert same_pictures(images(str(below.parent), base=base), expected)
    (tuned / WEIGHTS).rename(tuned / "diffusion_pytorch_model.fp16.safetensors")
    assert same_pictures(images(str(tuned), base=base), expected)
    info = model_info(str(tuned), base)
    assert info is not None
    assert info.source.parts_line(info.family) == f"unet from the folder, the rest from {base}"


def test_a_network_in_several_files(twin, tuned, expected):
    tensors = load_file(tuned / WEIGHTS)
    names = sorted(tensors)
    (tuned / WEIGHTS).unlink()
    for number, part in enumerate((names[::2], names[1::2]), 1):
        save_file(
            {name: tensors[name] for name in part}, tuned / f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        )
    base = str(twin("unet"))
    assert same_pictures(images(str(tuned), base=base), expected)
    first = model_fingerprint(str(tuned), base)
    (tuned / "config.json").write_text((tuned / "config.json").read_text() + " ")
    assert model_fingerprint(str(tuned), base) != first
    (tuned / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"\d+ of \d+ tensors of its unet are not there"):
        load_model(str(tuned), base=base, device="cpu")


class Hub:
    """Of the hub, what `sources` asks: the names of files, and the files."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.fetched = folder, list[str]()
        monkeypatch.setattr(
            sources, "hub_files", lambda _: [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
        )
        monkeypatch.setattr(sources, "fetch_file", self.fetch)

    def fetch(self, hub_id: str, name: str) -> Path:
        assert hub_id == "owner/tuned"
        self.fetched.append(name)
        return self.folder / name


def test_a_hub_id_of_a_network(twin, tuned, expected, monkeypatch):
    shutil.copy(tuned / WEIGHTS, tuned / "diffusion_pytorch_model.fp16.safetensors")
    hub = Hub(tuned, monkeypatch)
    base = str(twin("unet"))
    assert find_source("owner/tuned", base).part == "owner/tuned"  # nothing was asked
    assert not hub.fetched
    assert same_pictures(images("owner/tuned", base=base), expected)
    assert sorted(hub.fetched) == ["config.json", WEIGHTS]


@pytest.mark.parametrize("name", [".", "..", "../../tuned"])
def test_a_folder_by_its_place(name, twin, tuned, monkeypatch):
    (tuned / "more").mkdir()
    monkeypatch.chdir(tuned if name == "." else tuned / "more")
    base = str(twin("unet"))
    assert find_source(name, base).checkpoint.tensors == find_source(str(tuned), base).checkpoint.tensors


def test_a_file_on_the_hub(twin, tuned, expected, tmp_path, monkeypatch):
    base = str(twin("unet"))
    single = tmp_path / "single"
    (single / "checkpoints").mkdir(parents=True)
    whole = Path(shutil.copytree(twin("unet"), tmp_path / "again"))
    shutil.copy(tuned / WEIGHTS, whole / "unet")
    save_single_file(single / "checkpoints" / "mine.safetensors", whole, "unet", ["unet"])
    Hub(single, monkeypatch)
    assert same_pictures(images("owner/tuned/checkpoints/mine.safetensors", base=base), expected)
    assert same_pictures(images("owner/tuned", base=base), expected)  # the one file that there is
    shutil.copy(single / "checkpoints" / "mine.safetensors", single / "other.safetensors")
    with pytest.raises(UserError, match="has 2 files of weights; name one of them, as in --model owner/tuned/"):
        load_model("owner/tuned", base=base, device="cpu")
    with pytest.raises(UserError, match="is not in the hub's cache, so that nothing tells its family: name its --base"):
        load_model("owner/tuned/other.safetensors", device="cpu")


def test_a_hub_id_of_a_single_file_that_was_fetched(twin, tmp_path, monkeypatch):
    """Nothing is asked, and its fingerprint is that of the file."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository, base = tmp_path / "models--owner--tuned", str(twin("unet"))
    file = repository / "snapshots" / "1" / "mine.safetensors"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("1")
    file.parent.mkdir(parents=True)
    assert find_source("owner/tuned", base).part == "owner/tuned"
    save_single_file(file, Path(base), "unet", ["unet"])
    assert find_source("owner/tuned", base).checkpoint == find_source(str(file), base).checkpoint
    assert model_fingerprint("owner/tuned", base) == model_fingerprint(str(file), base)
    shutil.copy(file, file.with_name("other.safetensors"))
    assert find_source("owner/tuned", base).part == "owner/tuned"


def test_a_file_that_is_not_on_the_hub(monkeypatch, tmp_path, capsys):
    """Nothing is asked before the file is needed."""

    def absent(hub_id, name):
        raise EntryNotFoundError(name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", absent)
    line = [
        "generate",
        "--model",
        "owner/tuned/typo.safetensors",
        "--base",
        "mini",
        "--classes",
        "dog",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*line, "--dry-run"]) == 0
    assert "unet from the hub, the rest from mini" in capsys.readouterr().out
    assert main(line) == 2
    assert (
        capsys.readouterr().err == "seediff: model 'owner/tuned': has no file typo.safetensors; name one that it has\n"
    )


def test_what_is_no_part(twin, tuned, tmp_path):
    base = str(twin("unet"))
    with pytest.raises(UserError, match="is whole; leave it out"):
        load_model(base, base="sd1.5", device="cpu")
    with pytest.raises(UserError, match=r"has no model_index.json, and so is no whole model, nor config.json"):
        load_model(str(tmp_path), base=base, device="cpu")
    (tuned / "evil.py").touch()
    with pytest.raises(UserError, match=r"evil.py: code and adapters in a model's folder are not read"):
        load_model(str(tuned), base=base, device="cpu")
    (tuned / "evil.py").unlink()
    config = json.loads((tuned / "config.json").read_text())
    (tuned / "config.json").write_text(json.dumps(config | {"_class_name": "UNet3DConditionModel"}))
    with pytest.raises(
        UserError, match=r"config.json: is of a .UNet3DConditionModel., but its base has a UNet2DConditionModel"
    ):
        load_model(str(tuned), base=base, device="cpu")
    (tuned / "config.json").write_text(json.dumps(config | {"layers_per_block": 1000}))
    with pytest.raises(UserError, match="at most 200 layers"):
        load_model(str(tuned), base=base, device="cpu")
    torch.save({}, tuned / "diffusion_pytorch_model.bin")
    (tuned / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"no whole model, nor config.json beside diffusion_pytorch_model.safetensors"):
        load_model(str(tuned), base=base, device="cpu")


def test_a_repository_that_is_no_whole_model(monkeypatch):
    from seediff.models import hub

    monkeypatch.setattr(hub, "hub_files", lambda _: ["README.md", "flux1-dev-Q4_0.gguf", "flux1-dev-Q8_0.gguf"])
    with pytest.raises(
        UserError, match=r"model 'owner/name': has no model_index.json, and so is no whole model: name its --base"
    ):
        hub.check_repository("owner/name")
    monkeypatch.setattr(hub, "hub_files", lambda _: ["model_index.json"])
    hub.check_repository("owner/name")
