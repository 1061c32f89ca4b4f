import json
import re
import shutil
from pathlib import Path

import pytest
from builders.refusals import user_error
from builders.single_files import configure, rewrite

from seediff.models.registry import load_model

FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture
def folder(sd1_folder, tmp_path):
    return Path(shutil.copytree(sd1_folder, tmp_path / "model"))


def without_one(tensors):
    return {key: tensors[key] for key in sorted(tensors)[1:]}


def test_of_two_files_of_a_part_the_one_that_is_loaded_counts(folder):
    path = folder / "unet" / FILES["unet"]
    half = Path(shutil.copy(path, path.with_suffix(".fp16.safetensors")))
    rewrite(half, lambda tensors: {key: value.half() for key, value in without_one(tensors).items()})
    load_model(str(folder), device="cpu", dtype="float32")
    with user_error("unet: its weights are not those of its network: 1 tensor, the first"):
        load_model(str(folder), device="cpu", dtype="float16")


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("unet/config.json", {"act_fn": 3}, "unet: cannot be loaded"),
        ("unet/config.json", {"sample_size": None}, "its unet does not tell the size of its images"),
        (
            "text_encoder/config.json",
            {"intermediate_size": 8},
            "text_encoder: its weights are not those of its network: 9 tensors",
        ),
    ],
)
def test_one_value_of_a_configuration_that_is_another(folder, file, values, said):
    """The file and what is wrong, in one line that ends in no colon and names no class of errors."""
    configure(folder / file, **values)
    with user_error(said) as caught:
        load_model(str(folder), device="cpu")
    assert not re.search(r"\w(Error|Exception)\b|: *[;)]|:$", str(caught.value))


def test_text_encoders_of_fewer_layers_are_a_choice(folder):
    """Clip skip, by the value in config.json, as many models have it."""
    path = folder / "text_encoder" / "config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"num_hidden_layers": settings["num_hidden_layers"] - 1}))
    load_model(str(folder), device="cpu")
