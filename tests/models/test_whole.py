import shutil
from pathlib import Path

import pytest
import torch
from refusals import user_error
from safetensors.torch import load_file, save_file

from seediff.models.registry import load_model

FILES = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture
def folder(sd1_folder, tmp_path):
    return Path(shutil.copytree(sd1_folder, tmp_path / "model"))


def rewrite(path, change):
    """The tensors of a file, changed."""
    tensors = load_file(path)
    save_file(change(tensors), path, metadata={"format": "pt"})


def without_one(tensors):
    return {key: tensors[key] for key in sorted(tensors)[1:]}


@pytest.mark.parametrize(("part", "accelerate"), [*((part, True) for part in FILES), ("unet", False)])
def test_a_missing_tensor_is_named(folder, part, accelerate, monkeypatch):
    """Also where accelerate is not installed, without which diffusers loads in another way."""
    if not accelerate:
        monkeypatch.setattr("diffusers.utils.import_utils._accelerate_available", False)
    rewrite(folder / part / FILES[part], without_one)
    with user_error(rf"1 of \d+ tensors in its {part} are missing from its weights, the first \w+"):
        load_model(str(folder), device="cpu")


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_weights_that_are_not_numbers_are_named(folder, part):
    rewrite(
        folder / part / FILES[part],
        lambda tensors: {**tensors, (key := max(tensors)): tensors[key].fill_(float("nan"))},
    )
    with user_error(rf"model: .*: [\w.]+ of its {part} holds values that are not finite in float32; download it again"):
        load_model(str(folder), device="cpu")


def test_of_two_files_of_a_part_the_one_that_is_loaded_counts(folder):
    path = folder / "unet" / FILES["unet"]
    save_file(
        {key: value.half() for key, value in load_file(path).items()},
        path.with_suffix(".fp16.safetensors"),
        metadata={"format": "pt"},
    )
    rewrite(path.with_suffix(".fp16.safetensors"), without_one)
    load_model(str(folder), device="cpu", dtype="float32")
    with user_error("tensors in its unet"):
        load_model(str(folder), device="cpu", dtype="float16")


def test_names_of_older_files(folder):
    """As Stable Diffusion 1.4 has them."""

    def older(tensors):
        for new, old in (
            (".to_q.", ".query."),
            (".to_k.", ".key."),
            (".to_v.", ".value."),
            (".to_out.0.", ".proj_attn."),
        ):
            tensors = {key.replace(new, old): value for key, value in tensors.items()}
        return tensors

    def prefixed(tensors):
        named = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in tensors.items()}
        return named | {"text_model.embeddings.position_ids": torch.arange(77)[None]}

    before = {
        part: getattr(load_model(str(folder), device="cpu").pipe, part).state_dict() for part in ("vae", "text_encoder")
    }
    rewrite(folder / "vae" / FILES["vae"], older)
    rewrite(folder / "text_encoder" / FILES["text_encoder"], prefixed)
    assert any(".proj_attn." in key for key in load_file(folder / "vae" / FILES["vae"]))
    pipe = load_model(str(folder), device="cpu").pipe
    for part, tensors in before.items():
        assert all(torch.equal(value, tensors[key]) for key, value in getattr(pipe, part).state_dict().items())
