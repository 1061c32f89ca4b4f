import shutil
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from builders.families import same_weights
from builders.narrow import narrow_converters
from builders.refusals import user_error
from builders.single_files import FORMATS, rewrite, save_single_file, single_file
from safetensors.torch import save_file

from seediff.models.locate import read_index
from seediff.models.registry import load_model
from seediff.models.single_file import read_checkpoint


@pytest.fixture(scope="session")
def folder_of(twin, tmp_path_factory):
    """Name of a format → the folder that such a file is written of."""

    @lru_cache
    def folder(name):
        if name != "sd3":
            return twin(name)
        copy = Path(shutil.copytree(twin(name), tmp_path_factory.mktemp("models") / "sd3"))
        # As published: what SD 3's files leave out is the identity
        weights, projection = copy / "text_encoder/model.safetensors", "text_projection.weight"
        rewrite(weights, lambda state: {**state, projection: torch.eye(len(state[projection]))})
        return copy

    return folder


@pytest.fixture
def narrow(monkeypatch):
    narrow_converters(monkeypatch)


def refused(path, match, **options):
    with user_error(match) as error:
        load_model(str(path), device="cpu", **options)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_file_is_the_model_that_it_was_written_of(name, folder_of, narrow, tmp_path):
    folder = folder_of(name)
    path = save_single_file(tmp_path / "people.safetensors", folder, name)
    whole = load_model(str(folder), device="cpu")
    model = load_model(str(path), base=str(folder), device="cpu")
    for part in filter(model.family.has_weights, model.pipe.components):
        assert same_weights(getattr(whole.pipe, part), getattr(model.pipe, part)), part
    told = read_checkpoint(path).parts(model.family, read_index(folder))
    assert set(told) == set(FORMATS[name])


@pytest.mark.parametrize(("name", "prefix"), [("xl", "model.diffusion_model."), ("flux", "")])
def test_what_a_file_lacks_is_the_bases(name, prefix, twin, narrow, tmp_path):
    """As ComfyUI's folder of diffusion models has them: the network alone, also without the names' prefix."""
    folder = twin(name)
    whole = load_model(str(folder), device="cpu")
    network = whole.family.network_part
    path = save_single_file(tmp_path / "network.safetensors", folder, name, [network], prefix=prefix)
    base = Path(shutil.copytree(folder, tmp_path / "base"))
    for weights in (base / network).glob("*.safetensors"):
        weights.unlink()  # the base's own are not read
    assert same_weights(whole.network, load_model(str(path), base=str(base), device="cpu").network)


def test_a_file_under_diffusers_names_needs_a_base(twin, tmp_path):
    folder = twin("sd3")
    path = tmp_path / "tuned.safetensors"
    shutil.copy(folder / "transformer" / "diffusion_pytorch_model.safetensors", path)
    refused(path, "no known model has tensors with these names; give its base")
    models = [load_model(str(folder), device="cpu"), load_model(str(path), base=str(folder), device="cpu")]
    assert same_weights(*(model.network for model in models))


@pytest.mark.parametrize(
    ("name", "base"), [("unet", "sd1.5"), ("xl", "sdxl"), ("flux", "flux-dev"), ("qwen_image", "qwen-image")]
)
def test_the_base_follows_from_the_names(name, base, twin, tmp_path):
    path = save_single_file(tmp_path / "tuned.safetensors", twin(name), name)
    assert read_checkpoint(path).base() == base


UNET = "model.diffusion_model."
SDXL = (f"{UNET}label_emb.0.0.weight", f"{UNET}output_blocks.0.0.in_layers.0.weight")
KLEIN = ("double_stream_modulation_img.lin.weight", "double_blocks.0.img_attn.qkv.weight")


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (KLEIN, "may be made from klein-4b or klein-base-4b or"),
        (["cap_pad_token"], "z-image-turbo or z-image, or another; give its base"),
        ([*SDXL, "edm_mean"], "sdxl, or another; give its base"),
        (["cap_pad_token", "txt_norm.weight"], "z-image-turbo or z-image or qwen-image, or another; give its base"),
        ([], "has no tensors"),
    ],
)
def test_files_that_no_model_is_made_of(names, match, tmp_path):
    path = tmp_path / "file.safetensors"
    save_file({name: torch.zeros(1) for name in names}, path)
    refused(path, match)


def changed(path, folder, name, change):
    held = single_file(folder, name)
    change(held)
    save_file(held, path)
    return path


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        (
            "unet",
            lambda t: t.pop(UNET + "middle_block.1.proj_in.weight"),
            "its unet .* are missing from its weights, the first mid_block",
        ),
        ("unet", lambda t: t.update({UNET + "out.2.bias": torch.zeros(7)}), "unet cannot be read .*conv_out.bias"),
        ("flux", lambda t: t.pop(UNET + "double_blocks.1.img_mod.lin.bias"), "double_blocks.1.img_mod.lin.bias"),
        (
            "unet",
            lambda t: t[UNET + "out.2.bias"].fill_(torch.nan),
            "in its unet, tensor .* holds values that are not finite",
        ),
    ],
)
def test_a_file_whose_tensors_are_others(name, change, match, twin, narrow, tmp_path):
    refused(changed(tmp_path / "file.safetensors", twin(name), name, change), match, base=str(twin(name)))


def test_marks_of_what_a_network_predicts(twin, tmp_path, recwarn):
    folder = str(twin("xl"))
    mark = torch.zeros(0)
    path = changed(
        tmp_path / "v.safetensors", twin("xl"), "xl", lambda t: t.update({"v_pred": mark, "ztsnr": mark.clone()})
    )
    config = load_model(str(path), base=folder, device="cpu", scheduler="euler").pipe.scheduler.config
    assert (config["prediction_type"], config["rescale_betas_zero_snr"], config["timestep_spacing"]) == (
        "v_prediction",
        True,
        "trailing",
    )
    assert not [warning for warning in recwarn if "nothing reads" in str(warning.message)]


def test_half_precision_and_float8(twin, tmp_path):
    """A file may be in another number format than the model computes in, as ComfyUI's in float8 are."""
    folder = twin("xl")
    held = single_file(folder, "xl", ["unet"])
    save_file(
        {name: tensor.to(torch.float8_e4m3fn) for name, tensor in held.items()}, path := tmp_path / "fp8.safetensors"
    )
    model = load_model(str(path), base=str(folder), device="cpu", dtype="bfloat16")
    assert model.network.dtype == torch.bfloat16
    exact = load_model(str(folder), device="cpu").network.to(torch.float8_e4m3fn).bfloat16()
    assert same_weights(model.network, exact)


def test_tensors_outside_of_all_parts(twin, narrow, tmp_path, recwarn):
    folder = twin("xl")
    name = "lora_unet_mid_block_1.lora_down.weight"
    changed(tmp_path / "a.safetensors", folder, "xl", lambda tensors: tensors.update({name: torch.ones(4, 4)}))
    refused(tmp_path / "a.safetensors", f"{name} changes a network, and nothing reads it", base=str(folder))
    others = {"my_tower.weight": torch.ones(4), "model_ema.decay": torch.ones(1), "betas": torch.ones(4)}
    changed(tmp_path / "b.safetensors", folder, "xl", lambda tensors: tensors.update(others))
    load_model(str(tmp_path / "b.safetensors"), base=str(folder), device="cpu")
    said = [str(warning.message) for warning in recwarn if "nothing reads" in str(warning.message)]
    assert said == [f"{tmp_path / 'b.safetensors'}: nothing reads 1 tensor, the first my_tower.weight"]
