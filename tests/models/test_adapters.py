import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.families import generate, largest_difference, plain, same_images
from builders.refusals import user_error
from safetensors.torch import load_file, save_file

from seediff.models import hub as names
from seediff.models import pipeline
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec


def lora_of(model, path, part="unet", strength=0.5):
    """A LoRA of rank 2 on the queries and keys of every captured layer."""
    noise = torch.Generator().manual_seed(1)
    tensors = {}
    for name in model.family.layers(model.network):
        for which in ("to_q", "to_k"):
            weight = model.network.get_submodule(f"{name}.{which}").weight
            for side, shape in (("A", (2, weight.shape[1])), ("B", (weight.shape[0], 2))):
                tensors[f"{part}.{name}.{which}.lora_{side}.weight"] = strength * torch.randn(shape, generator=noise)
    save_file(tensors, path)
    return str(path)


@pytest.fixture(scope="module")
def folder(twin):
    return str(twin("unet"))


@pytest.fixture(scope="module")
def lora(sd1_model, tmp_path_factory):
    return lora_of(sd1_model, tmp_path_factory.mktemp("loras") / "style.safetensors")


@pytest.fixture(scope="module")
def adapted(folder, lora):
    """The model with 0.7 of the LoRA; its pictures and maps."""
    model = load_model(folder, device="cpu", lora=lora, lora_scale=0.7)
    return model, *generate(model)


@pytest.fixture(scope="module")
def flux_folder(twin):
    return str(twin("flux"))


def test_maps_and_images_are_those_with_the_lora(sd1_model, sd1_pipe, lora, adapted):
    model, images, maps = adapted
    assert largest_difference(model) < 1e-5
    sd1_pipe.load_lora_weights(lora, adapter_name="own")
    sd1_pipe.set_adapters(["own"], adapter_weights=[0.7])
    assert same_images(images, plain(replace(model, pipe=sd1_pipe), guidance_scale=3.0))
    without, own = generate(sd1_model)
    assert not np.array_equal(images[0], without[0])
    assert not torch.allclose(maps[0].cross_attention[4, 4], own[0].cross_attention[4, 4], atol=1e-3)


@pytest.mark.slow
def test_a_lora_in_kohyas_way_has_an_alpha_for_every_layer(folder, lora, adapted, tmp_path):
    """The same: an alpha of 0.7 of the rank is a factor of 0.7."""
    tensors = {}
    for name, tensor in load_file(lora).items():
        layer, side = name.removeprefix("unet.").removesuffix(".weight").rsplit(".", 1)
        called = f"lora_unet_{layer.replace('.', '_')}"
        tensors |= {
            f"{called}.lora_{'down' if side == 'lora_A' else 'up'}.weight": tensor,
            f"{called}.alpha": torch.tensor(1.4),
        }
    save_file(tensors, tmp_path / "kohya.safetensors")
    images, _ = generate(load_model(folder, device="cpu", lora=str(tmp_path / "kohya.safetensors")))
    assert same_images(images, adapted[1])


def test_what_a_model_keeps_in_float32_stays_so_with_a_lora(flux_folder, loaded, tmp_path):
    """T5's widest products overflow in float16; transformers keeps their weights in float32."""
    lora = lora_of(loaded("flux"), tmp_path / "lora.safetensors", "transformer")
    adapted, own = (load_model(flux_folder, device="cpu", dtype="float16", lora=one) for one in (lora, None))
    kinds = [{n: w.dtype for n, w in model.pipe.text_encoder_2.named_parameters()} for model in (adapted, own)]
    assert kinds[0] == kinds[1]
    assert torch.float32 in kinds[0].values()


def test_a_lora_of_another_family(flux_folder, loaded, tmp_path):
    """SD 3 has layers of the same names as FLUX.1, but more of them."""
    lora = lora_of(loaded("sd3"), tmp_path / "lora.safetensors", "transformer")
    with user_error(rf"^lora: {re.escape(lora)}: does not fit FLUX\.1, or"):
        load_model(flux_folder, device="cpu", lora=lora)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("unet", lambda state, name: state.update({f"{name}.dora_scale": torch.ones(64)}), "DoRA"),
        ("unet", lambda state, name: state.update({f"{name}.lora_C.weight": torch.ones(2, 2)}), "lora_C"),
        ("unet", lambda state, name: state.pop(f"{name}.lora_B.weight"), "missing keys"),
        ("text_encoder", lambda state, name: state.update({f"{name}.lora_C.weight": torch.ones(2, 2)}), "LOAD REPORT"),
    ],
    ids=["dora", "more", "less", "text"],
)
def test_a_lora_of_which_a_part_would_be_left_out(part, change, said, loaded, folder, tmp_path):
    """Only a log says so, which is muted."""
    model = loaded("unet")
    state = load_file(lora_of(model, tmp_path / "whole.safetensors"))
    module = model.pipe.components[part]
    if part != "unet":
        layers = [name for name, _ in module.named_modules() if name.endswith("q_proj")]
        width = module.config.hidden_size
        state |= {f"{part}.{name}.lora_A.weight": torch.ones(2, width) for name in layers}
        state |= {f"{part}.{name}.lora_B.weight": torch.ones(width, 2) for name in layers}
    change(state, next(name for name in state if name.startswith(part)).partition(".lora_")[0])
    save_file(state, path := tmp_path / "lora.safetensors")
    with user_error(rf"^lora: {path}: does not fit .* \(.*{said}"):
        load_model(folder, device="cpu", lora=str(path))


def test_what_is_no_lora(loaded, twin, tmp_path, monkeypatch):
    model = loaded("unet")
    load = partial(pipeline.load_lora, model.pipe, model.family, scale=1.0)
    for name in ("other", "second"):
        save_file({"model.weight": torch.zeros(2, 2)}, tmp_path / f"{name}.safetensors")
    (tmp_path / "pickled.bin").touch()
    for name, problem in (
        ("other.safetensors", ": does not fit"),
        ("pickled.bin", ": no such .safetensors file, nor a folder"),
        ("", ": has 2 .safetensors files; name one"),
    ):
        with user_error(rf"^lora: {re.escape(str(tmp_path / name) + problem)}"):
            load(str(tmp_path / name))
    lora = lora_of(model, tmp_path / "lora.safetensors")
    with user_error("diffusers cannot load a LoRA into PixArt"):
        load_model(str(twin("pixart")), device="cpu", lora=lora)


def test_a_lora_of_the_hub(monkeypatch):
    def found(source="owner/lora"):
        return names.fetch_weights("lora", source)

    files = ["README.md", "style.safetensors", "more/other.safetensors"]
    monkeypatch.setattr(names, "hub_files", lambda *_: files)
    monkeypatch.setattr(names, "fetch_file", lambda hub_id, name, what: Path(hub_id, name))
    for source in ("owner/my--lora", "owner/lora-", "~nobody-here", "owner/lora/other.gguf"):
        with user_error(f"^lora: {source}: no such .safetensors file, nor a folder"):
            found(source)
    with user_error(r"^lora: owner/lora: has 2 \.safetensors files; name one, owner/lora/FILE$"):
        found()
    assert found("owner/lora/more/other.safetensors") == Path("owner/lora/more/other.safetensors")
    files.remove("style.safetensors")
    assert found() == Path("owner/lora/more/other.safetensors")
    cached = {"x.safetensors": Path("cached")}
    monkeypatch.setattr(names, "cached_file", lambda _, name: cached.get(name))
    assert found("owner/lora/x.safetensors") == Path("cached")


def test_tokens_of_textual_inversion(loaded):
    """Two vectors are two columns, so that the class behind them is one further on."""
    model = loaded("unet")
    pipe, prompt = model.pipe, "a photo of <toy> and a dog"
    width = pipe.text_encoder.config.hidden_size
    pipe.load_textual_inversion({"<toy>": torch.randn(2, width)}, token="<toy>")
    _, maps = generate(model, [SampleSpec(0, ("dog",), prompt, 3)])
    tokens = pipe.tokenizer.convert_ids_to_tokens(
        pipe.tokenizer(pipe.maybe_convert_prompt(prompt, pipe.tokenizer)).input_ids
    )
    assert tokens[4:6] == ["<toy>", "<toy>_1"]
    assert [tokens[column] for column in maps[0].words["dog"]] == ["dog</w>"]
