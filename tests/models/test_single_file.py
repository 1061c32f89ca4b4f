import shutil
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from builders.families import same_weights
from builders.narrow import narrow_converters
from builders.reference_attention import sweep
from builders.refusals import user_error
from builders.single_files import FORMATS, rewrite, save_single_file, single_file
from safetensors.torch import save_file

from seediff.errors import Notice
from seediff.models.locate import read_index
from seediff.models.registry import load_model
from seediff.models.single_file import SingleFile


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


@pytest.mark.parametrize("name", sweep(sorted(FORMATS)))
def test_a_file_is_the_model_that_it_was_written_of(name, folder_of, narrow, tmp_path):
    folder = folder_of(name)
    path = save_single_file(tmp_path / "people.safetensors", folder, name)
    whole = load_model(str(folder), device="cpu")
    model = load_model(str(path), base=str(folder), device="cpu")
    for part in filter(model.family.has_weights, model.pipe.components):
        assert same_weights(getattr(whole.pipe, part), getattr(model.pipe, part)), part
    told = SingleFile(str(path)).parts(model.family, read_index(folder))
    texts = name in ("unet", "xl")  # those of other files are the base's
    assert set(told) == {part for part in FORMATS[name] if texts or not part.startswith("text_encoder")}


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
    refused(path, "no known model has tensors with these names; name the model that it was made from with --base")
    models = [load_model(str(folder), device="cpu"), load_model(str(path), base=str(folder), device="cpu")]
    assert same_weights(*(model.network for model in models))


@pytest.mark.parametrize(
    ("name", "base"), [("unet", "sd1.5"), ("xl", "sdxl"), ("flux", "flux-dev"), ("qwen_image", "qwen-image")]
)
def test_the_base_follows_from_the_names(name, base, twin, tmp_path):
    path = save_single_file(tmp_path / "tuned.safetensors", twin(name), name)
    assert SingleFile(str(path)).base() == base


UNET = "model.diffusion_model."
SDXL = (f"{UNET}label_emb.0.0.weight", f"{UNET}output_blocks.0.0.in_layers.0.weight")
KLEIN = ("double_stream_modulation_img.lin.weight", "double_blocks.0.img_attn.qkv.weight")


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (KLEIN, "may be made from klein-4b or klein-base-4b or"),
        (["cap_pad_token"], "z-image-turbo or z-image; name the model that it was made from with --base"),
        ([*SDXL, "edm_mean"], "no known model"),
        (["cap_pad_token", "txt_norm.weight"], "z-image-turbo or z-image or qwen-image"),
        ([], "no known model"),
    ],
)
def test_files_whose_base_the_names_do_not_decide(names, match, tmp_path):
    path = tmp_path / "file.safetensors"
    save_file({name: torch.zeros(1) for name in names}, path)
    refused(path, match)


def changed(path, folder, name, change):
    held = single_file(folder, name)
    change(held)
    save_file(held, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        (
            "unet",
            lambda t: t.pop(UNET + "middle_block.1.proj_in.weight"),
            "meta tensor|mid_block",
        ),
        ("unet", lambda t: t.update({UNET + "out.2.bias": torch.zeros(7)}), "conv_out.bias"),
    ],
)
def test_a_file_whose_tensors_are_others(name, change, match, twin, narrow, tmp_path):
    refused(changed(tmp_path / "file.safetensors", twin(name), name, change), match, base=str(twin(name)))


def test_marks_of_what_a_network_predicts(twin, tmp_path):
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


@pytest.mark.slow
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


def test_what_comes_from_the_base_is_told(twin, narrow, tmp_path):
    folder = twin("sd3")
    path = save_single_file(tmp_path / "all.safetensors", folder, "sd3")
    with pytest.warns(Notice, match="transformer, vae from the file; text_encoder, .*text_encoder_3, the rest from"):
        load_model(str(path), base=str(folder), device="cpu")


def test_a_lora_among_the_tensors(twin, narrow, tmp_path):
    folder, name = twin("xl"), "lora_unet_mid_block_1.lora_down.weight"
    path = tmp_path / "a.safetensors"
    changed(path, folder, "xl", lambda tensors: tensors.update({name: torch.ones(4, 4)}))
    refused(path, f"has {name}, of an unsupported quantisation or a LoRA", base=str(folder))
