import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from builders.families import same_weights
from builders.refusals import refused, user_error
from builders.single_files import rewrite, save_single_file

from seediff.cli.main import main
from seediff.models import single_file
from seediff.models.describe import describe_here
from seediff.models.locate import locate
from seediff.models.pipeline import Parts
from seediff.models.registry import load_model
from seediff.models.single_file import SingleFile

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def tuned(twin, tmp_path):
    """A UNet that was trained further, as its training saved it, in a folder of its own."""
    folder = Path(shutil.copytree(twin("unet") / "unet", tmp_path / "tuned"))
    rewrite(folder / WEIGHTS, lambda tensors: {name: tensor * 1.01 for name, tensor in tensors.items()})
    return folder


@pytest.fixture
def whole(twin, tuned, tmp_path):
    """The same as a whole folder."""
    folder = Path(shutil.copytree(twin("unet"), tmp_path / "whole"))
    shutil.copy(tuned / WEIGHTS, folder / "unet")
    return folder


@pytest.fixture
def expected(whole):
    return load_model(str(whole), device="cpu").network


def network(source, base):
    return load_model(source, base=base, device="cpu").network


def test_a_folder_of_a_network(twin, tuned, expected, tmp_path):
    base = str(twin("unet"))
    assert same_weights(network(str(tuned), base), expected)
    below = tmp_path / "repository" / "unet"
    shutil.copytree(tuned, below)
    assert same_weights(network(str(below.parent), base), expected)
    (tuned / WEIGHTS).rename(tuned / "diffusion_pytorch_model.fp16.safetensors")
    assert same_weights(network(str(tuned), base), expected)
    path = tuned / "config.json"
    path.write_text(path.read_text().replace('"sample_size": ', '"own_size": 7, "sample_size": '))
    info = describe_here(str(tuned), base)
    assert info.network_config["own_size"] == 7
    assert (
        Parts(info.files, info.family, info.files.index()).line
        == f"unet from the folder; text_encoder, vae, the rest from {base}"
    )


def test_a_file_on_the_hub(twin, expected, whole, tmp_path, monkeypatch, capsys):
    """Nothing is asked before the file is needed."""
    base, name = str(twin("unet")), "owner/tuned/checkpoints/mine.safetensors"
    file = save_single_file(tmp_path / "mine.safetensors", whole, "unet", ["unet"])
    monkeypatch.setattr(single_file, "cached_file", lambda *part: file)
    assert locate(name, base).file == SingleFile("checkpoints/mine.safetensors", "owner/tuned")
    assert same_weights(network(name, base), expected)
    monkeypatch.setattr(single_file, "cached_file", lambda *part: None)
    with user_error("is not on this machine, so that its tensors cannot say its base; name the model"):
        load_model(name, device="cpu")
    monkeypatch.undo()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    line = "generate --model owner/tuned/typo.safetensors --base mini --classes dog".split()
    line += ["--out", str(tmp_path / "out")]
    assert main([*line, "--dry-run"]) == 0
    assert "unet from the hub; text_encoder, vae, the rest from mini" in capsys.readouterr().out
    assert "owner/tuned: has no file typo.safetensors; name a file that it has" in refused(capsys, *line)


def test_what_is_no_part(twin, tuned, tmp_path):
    base = str(twin("unet"))
    with user_error(r"^base: sd1\.5: is for a single file, .*; leave it out$"):
        load_model(base, base="sd1.5", device="cpu")
    with user_error(r"has neither model_index.json nor config.json"):
        load_model(str(tmp_path), base=base, device="cpu")
    torch.save({}, tuned / "diffusion_pytorch_model.bin")
    (tuned / WEIGHTS).unlink()
    with user_error(r"nor config.json beside diffusion_pytorch_model.safetensors"):
        load_model(str(tuned), base=base, device="cpu")
