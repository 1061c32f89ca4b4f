"""What the audit of weights refuses: every tensor of every twin in wrong types and with scales, and what is left over,
in each kind of file that tensors are read from.
"""

import json
import re
import shutil
import struct
import warnings
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from builders.narrow import narrow_converters
from builders.published import PARTS, written
from builders.reference_attention import BOOKS
from builders.refusals import user_error
from builders.single_files import FORMATS, NETWORK, rewrite, single_file
from safetensors.torch import save_file
from torch import nn

from seediff.errors import Notice
from seediff.files.tensors import Tensor, read_gguf_header, read_header
from seediff.models.audit import INTEGERS, audit, stored_problem
from seediff.models.describe import describe
from seediff.models.locate import ModelFiles
from seediff.models.registry import load_model
from seediff.train.record import load_checkpoint

WRONG = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "BOOL", "C64", "F4", "F6_E2M3", "F8_E8M0")
PUBLISHED = ("", "text_model.", "transformer.", "model.")
"""What the names in published files begin with, where libraries rename them."""
SCALES = (
    *("{}_scale", "{}_scale_inv", "{}.absmax", "{}.quant_map", "{}.quant_state.bitsandbytes__nf4"),
    *("{stem}.scale_weight", "{stem}.weight_scale", "{stem}.weight_scale_2", "{stem}.input_scale", "{stem}.scale"),
    *("{stem}.SCB", "{stem}.scales", "{stem}.zero_point"),
)


def headers_in(folder):
    files = sorted(folder.glob("*/*.safetensors"))
    return dict(chain.from_iterable(read_header(file).tensors.items() for file in files))


@pytest.mark.parametrize("name", BOOKS)
def test_every_tensor_in_a_wrong_type_or_with_a_scale(name, twin, monkeypatch):
    headers = headers_in(twin(name))
    stored = {re.sub(r"\d+", "0", each) for each in headers}  # blocks differ in their numbers alone
    names = {start + each for start in PUBLISHED for each in stored}
    if name in FORMATS:
        names |= {re.sub(r"\d+", "0", each) for each in single_file(twin(name), name)}
    names = {each for each in names if not INTEGERS.search(each)}
    assert len(names) > 100
    for each in names:
        stem = each.removesuffix(".weight")
        for kind in WRONG:
            assert f"of type {kind}" in stored_problem({each: Tensor(kind, (2, 2))})
        for scale in SCALES:
            for kind in ("F8_E4M3", "I8"):
                both = {each: Tensor(kind, (2, 2)), scale.format(each, stem=stem): Tensor("F32", ())}
                assert "unsupported quantisation" in stored_problem(both), both
    eight = {each: Tensor("F8_E4M3", (2, 2)) for each in headers if not INTEGERS.search(each)}
    assert stored_problem(headers) == stored_problem(eight) == ""


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "IQ4_NL", "F32", "F16", "BF16", "F64"])
def test_types_that_are_numbers(kind):
    others = {"a.position_ids": Tensor("I64", (1, 77)), "a.alpha": Tensor("I64", ()), "a.scale": Tensor("F32", (32,))}
    assert stored_problem({"a.weight": Tensor(kind, (32, 32)), **others}) == ""


COMPLETE = dict.fromkeys(("missing_keys", "mismatched_keys", "unexpected_keys"), ())
BLOCK = nn.ModuleDict({"fc": nn.Linear(2, 2)})
BLOCKS = nn.ModuleDict({"layers": nn.ModuleList([BLOCK]), "norm": nn.LayerNorm(2), "tower": nn.ModuleDict()})


@pytest.mark.parametrize(
    ("part", "names", "outcome"),
    [
        *((part, "extra.weight layers.1.fc.weight", "refused") for part in ("unet", "segmenter", "vae")),
        ("transformer", "extra.weight loss.logvar", "refused"),
        ("vae", "loss.logvar", ""),
        ("text_encoder_2", "layers.1.fc.weight vision_model.a logit_scale lm_head.weight layers.0.position_ids", ""),
        ("text_encoder", "extra.weight tower.weight", "said"),
        ("text_encoder", "layers.0.extra layers.1.extra layers.0.fc.extra layers.0.lora.a norm.extra", "refused"),
        ("text_encoder", "tower.weight_scale lora_A.weight a.SCB", "refused"),
        ("backbone", "classifier.weight swin.layernorm.weight model.decoder.block.0.weight", ""),
        ("backbone", "layers.1.fc.weight", "refused"),
    ],
)
def test_what_is_left_over(part, names, outcome):
    headers = {name: Tensor("F32", (2, 2)) for name in BLOCKS.state_dict()}
    for name in names.split():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            problem = audit(headers, {**COMPLETE, "unexpected_keys": {name}}, BLOCKS, part, "sd, text_encoder")
        assert {"refused": problem, "said": said and str(said[0].message), "": name}[outcome].count(name) == 1
        assert (bool(problem), len(said)) == (outcome == "refused", outcome == "said")


def test_files_of_which_no_tensor_was_read():
    assert "4 of 4 tensors are missing" in audit({}, COMPLETE, BLOCKS, "unet", "sd")


def first(tensors, start=""):
    return next(name for name in sorted(tensors) if name.startswith(start) and tensors[name].ndim > 1)


def in_int8(start=""):
    def change(tensors):
        name = first(tensors, start)
        return {**tensors, name: (tensors[name] * 50).to(torch.int8)}

    return change


def scaled(start=""):
    def change(tensors):
        name = first(tensors, start)
        small = tensors[name].to(torch.float8_e4m3fn)
        return {**tensors, name: small, f"{name.removesuffix('weight')}scale_weight": torch.ones(1)}

    return change


def published(change):
    """The text encoder's names as files have them, after a change."""
    return lambda tensors: {f"text_model.{name}": tensor for name, tensor in change(tensors).items()}


CHANGES = pytest.mark.parametrize(
    ("change", "match"),
    [(in_int8, "is of type I8"), (scaled, "unsupported quantisation.*scale_weight")],
    ids=["int8", "scaled"],
)


@pytest.fixture
def folder(twin, tmp_path):
    return Path(shutil.copytree(twin("unet"), tmp_path / "model"))


def refused(match, path, **options):
    with user_error(match):
        load_model(str(path), device="cpu", **options)


@CHANGES
@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_folders(part, change, match, folder):
    (file,) = (folder / part).glob("*.safetensors")
    rewrite(file, published(change()) if part == "text_encoder" else change())
    refused(rf"in its {part}, .*{match}", folder)
    if part == "unet":
        refused(match, folder / "unet", base=str(folder))


@CHANGES
@pytest.mark.parametrize("start", [NETWORK, "first_stage_model.", "cond_stage_model.transformer."])
def test_single_files(start, change, match, folder, tmp_path):
    save_file(change(start)(single_file(folder, "unet")), path := tmp_path / "tuned.safetensors")
    refused(match, path, base=str(folder))


@CHANGES
def test_loras(change, match, folder, tmp_path):
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_"
    tensors = {f"{layer}A.weight": torch.ones(2, 64), f"{layer}B.weight": torch.ones(64, 2)}
    save_file(change()(tensors), path := tmp_path / "lora.safetensors")
    refused(match, folder, lora=str(path))


@CHANGES
def test_checkpoints_of_a_training(change, match, tmp_path):
    save_file(change()({"trainee.a.weight": torch.ones(2, 2)}), path := tmp_path / "checkpoint.safetensors")
    with user_error(match):
        load_checkpoint(path, nn.Linear(2, 2), torch.optim.AdamW(nn.Linear(2, 2).parameters()))


def test_ggufs_with_integers(twin, tmp_path):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path := tmp_path / "model.gguf", "flux")
    for name, tensor in single_file(twin("flux"), "flux", ["transformer"], prefix="").items():
        writer.add_tensor(name, tensor.numpy().astype("int8") if tensor.ndim > 1 else tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    refused("is of type I8", path, base=str(twin("flux")))


def changed_config(folder, part, **values):
    path = folder / part / "config.json"
    values = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


@pytest.mark.parametrize(
    ("name", "part", "values", "match"),
    [
        ("flux", "transformer", {"guidance_embeds": False}, "has no time_text_embed.guidance_embedder"),
        ("xl", "vae", {"use_quant_conv": False, "use_post_quant_conv": False}, "in its vae, .* has no post_quant_conv"),
        ("xl", "unet", {"addition_embed_type": None}, "unet has no addition_embed_type, which SDXL needs"),
        ("lcm", "unet", {"time_cond_proj_dim": None}, "unet has no time_cond_proj_dim, which LCM needs"),
        ("lcm", "unet", {"time_cond_proj_dim": ...}, "unet has no time_cond_proj_dim, which LCM needs"),
        ("flux", "vae", {"shift_factor": None}, "vae has no shift_factor, which FLUX.1 needs"),
        ("unet", "vae", {"shift_factor": 0.1}, "does not use the shift_factor"),
        ("sd3", "vae", {"latents_mean": [0.1] * 4, "latents_std": [2.0] * 4}, "does not use the latents_mean"),
        ("xl", "vae", {"latents_mean": [0.1] * 4}, "does not use the latents_mean"),
        ("flux2", "vae", {"scaling_factor": 0.5}, "does not use the scaling_factor"),
    ],
)
def test_configurations_of_other_weights_or_values(name, part, values, match, twin, tmp_path):
    folder = Path(shutil.copytree(twin(name), tmp_path / "model"))
    changed_config(folder, part, **values)
    refused(match, folder)


@pytest.mark.parametrize("name", PARTS)
def test_published_configurations_are_right(name, tmp_path):
    whole = written(name, tmp_path)
    describe(ModelFiles(name, name, whole)).check_configs()


@pytest.mark.parametrize(
    ("name", "part", "values", "match"),
    [
        ("xl", "unet", {"addition_embed_type": None}, "has no addition_embed_type"),
        ("flux", "transformer", {"guidance_embeds": False}, "has no time_text_embed.guidance_embedder"),
        ("unet", "vae", {"layers_per_block": 0}, "has no (decoder|encoder)"),
    ],
)
def test_single_files_for_a_smaller_base(name, part, values, match, twin, monkeypatch, tmp_path):
    """Converters drop what the base's configuration does not mention."""
    narrow_converters(monkeypatch)
    folder = Path(shutil.copytree(twin(name), tmp_path / "model"))
    save_file(single_file(folder, name), path := tmp_path / "tuned.safetensors")
    changed_config(folder, part, **values)
    refused(match, path, base=str(folder))


def test_tensors_that_a_converter_drops(folder, tmp_path):
    for extra in ("input_blocks.99.0.in_layers.0.weight", "out.2.extra"):
        save_file(single_file(folder, "unet") | {NETWORK + extra: torch.ones(2)}, path := tmp_path / "a.safetensors")
        refused(f"has no {extra}", path, base=str(folder))


def test_what_only_training_read_and_other_heads_load_silently(folder, tmp_path, recwarn):
    more = {
        "first_stage_model.loss.discriminator.main.0.weight": torch.ones(2, 2),
        "first_stage_model.loss.discriminator.main.3.num_batches_tracked": torch.tensor(3),
        "cond_stage_model.transformer.logit_scale": torch.ones(()),
        "model_ema.num_updates": torch.tensor(3, dtype=torch.int32),
    }
    save_file(single_file(folder, "unet") | more, path := tmp_path / "tuned.safetensors")
    load_model(str(path), base=str(folder), device="cpu")
    assert [each for each in recwarn if issubclass(each.category, Notice)] == []


def test_sdxls_photographs_are_scaled_as_the_pipeline_scales_back(twin, tmp_path):
    folder = Path(shutil.copytree(twin("xl"), tmp_path / "model"))
    statistics = {"latents_mean": [-1.6, 1.1, 0.2, -0.3], "latents_std": [8.4, 5.9, 3.3, 4.8], "scaling_factor": 0.5}
    changed_config(folder, "vae", **statistics)
    model = load_model(str(folder), device="cpu")
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    latents = model.family.latents(model.pipe, pixels)
    mean, deviation = (torch.tensor(statistics[key]).view(1, 4, 1, 1) for key in ("latents_mean", "latents_std"))
    back = latents * deviation / 0.5 + mean  # pipeline_stable_diffusion_xl.py
    torch.testing.assert_close(back, model.pipe.vae.encode(pixels).latent_dist.mean)


def test_an_index_that_names_files_elsewhere(folder):
    (file,) = (folder / "unet").glob("*.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(read_header(file).tensors, "../other.safetensors")}
    file.rename(folder / "other.safetensors")
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    refused(r'index.json: "../other.safetensors" must be a file like', folder)


KEY = struct.pack("<QQQs", 0, 1, 1, b"a")


@pytest.mark.parametrize(
    "rest",
    [
        KEY + struct.pack("<IIQ", 9, 0, 10**9),
        KEY + struct.pack("<IIQ", 9, 8, 2**62),
        KEY + struct.pack("<IQ", 8, 2**62),
        KEY + struct.pack("<IIQ", 9, 0, 10**7) + bytes(10**7),
        struct.pack("<QQ", 2**60, 0),
        struct.pack("<QQQsI", 1, 0, 1, b"a", 2**31),
    ],
    ids=["array", "texts", "text", "many", "tensors", "sides"],
)
def test_ggufs_whose_lengths_no_file_has(rest, tmp_path, monkeypatch):
    """No such file gets to the library, which would take all memory."""
    monkeypatch.setattr("seediff.files.tensors.import_module", lambda _: SimpleNamespace())
    (path := tmp_path / "x.gguf").write_bytes(b"GGUF" + struct.pack("<I", 3) + rest)
    with user_error(r"is not a valid GGUF file \((a length in its|its) header"):
        read_gguf_header(path)
