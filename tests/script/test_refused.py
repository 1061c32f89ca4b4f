"""What cannot be captured is refused in one line that names it, before anything is drawn."""

from typing import Any

import pytest
import torch

import seediff
from seediff.errors import UserError
from seediff.models.registry import load_model


@pytest.fixture
def pipe(sd1_folder):
    return load_model(str(sd1_folder), device="cpu").pipe


def refusal(pipe, **options):
    with pytest.raises(UserError) as error, seediff.capture(pipe, **options):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def test_perturbed_attention_guidance(pipe):
    from diffusers import StableDiffusionPAGPipeline

    changed = StableDiffusionPAGPipeline.from_pipe(pipe, pag_applied_layers="mid")
    assert refusal(changed).startswith("a StableDiffusionPAGPipeline: perturbed-attention guidance")


def test_an_ip_adapter(pipe):
    from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

    attention = pipe.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn2")
    attention.set_processor(IPAdapterAttnProcessor2_0(hidden_size=64, cross_attention_dim=32))
    assert refusal(pipe).startswith("an IP-Adapter is loaded (mid_block.attentions.0")


@pytest.mark.parametrize("within", [False, True])
def test_processors_that_do_more(pipe, within):
    """Also where the pipeline itself puts them there while it draws."""
    from diffusers.models.attention_processor import CustomDiffusionAttnProcessor2_0

    def change():
        name = "mid_block.attentions.0.transformer_blocks.0.attn2"
        pipe.unet.get_submodule(name).set_processor(
            CustomDiffusionAttnProcessor2_0(hidden_size=64, cross_attention_dim=32)
        )

    said = "attn2 has a CustomDiffusionAttnProcessor2_0"
    if not within:
        change()
        assert said in refusal(pipe)
        return
    encode = pipe.encode_prompt
    pipe.encode_prompt = lambda *args, **kwargs: (change(), encode(*args, **kwargs))[1]
    with pytest.raises(UserError, match=said), seediff.capture(pipe):
        pipe("a dog", height=64, width=64, num_inference_steps=1)


def test_a_compiled_network(pipe):
    plain = pipe.unet
    pipe.unet = torch.compile(plain)
    assert refusal(pipe).startswith("the network was compiled by torch")
    pipe.unet = plain
    plain.mid_block.compile()
    assert refusal(pipe).startswith("the network was compiled by torch")


def test_what_is_no_pipeline_of_a_known_family(pipe):
    assert refusal(pipe.vae).startswith("attention of a AutoencoderKL cannot be captured")
    assert refusal(3).startswith("a int: has no unet and no transformer")


def test_a_pipeline_that_encodes_its_text_elsewhere(pipe):
    class Own:
        unet = pipe.unet

    assert refusal(Own()).startswith("a Own: encodes its text by no encode_prompt")
    with seediff.capture(Own(), prompts="a dog"):
        pass


def test_parts_that_are_drawn_one_by_one(pipe):
    from diffusers import StableDiffusionPanoramaPipeline

    panorama = StableDiffusionPanoramaPipeline(**pipe.components, requires_safety_checker=False)
    assert refusal(panorama).startswith("a StableDiffusionPanoramaPipeline: cannot be captured")


def test_options(pipe, twin):
    assert refusal(pipe, keep="everything").startswith("keep: 'everything' must be all, segments or a method of masks")
    assert refusal(pipe, steps="second-half").startswith("steps: second-half: ")
    assert refusal(pipe, layers="3").startswith("capture.layers: 3: blocks are a transformer's")
    sana = load_model(str(twin("sana")), device="cpu").pipe
    for keep in ("segments", "seediff"):
        assert "self-attention" in refusal(sana, keep=keep)


@pytest.mark.parametrize("method", ["daam", "reference"])
def test_a_method_that_needs_another_capture(pipe, method):
    """What the line names is enough."""
    for keep in ("all", method):
        with seediff.capture(pipe, keep=keep) as seen:
            pipe("a dog", height=64, width=64, num_inference_steps=1)
        if keep == "all":
            with pytest.raises(UserError, match=rf"method {method} .* capture\(pipe, keep='{method}'\)$"):
                seen.masks("dog", method=method, pamr=False)
    assert seen.masks("dog", pamr=False).classes == ("dog",)


def test_more_than_the_memory_holds(pipe, monkeypatch):
    """Known before the first layer runs."""
    monkeypatch.setattr("seediff.script.capture.memory_bytes", lambda: 1000)
    calls = []
    pipe.unet.conv_in.register_forward_hook(lambda *_: calls.append(1))
    said = r"^the attention maps of 1 images of 8 × 8 positions take .*; draw fewer or smaller images at once"
    with pytest.raises(UserError, match=said), seediff.capture(pipe):
        pipe("a dog", height=64, width=64, num_inference_steps=1)
    assert calls == []


def test_twice_at_once(pipe):
    with seediff.capture(pipe), pytest.raises(RuntimeError, match="already being captured"), seediff.capture(pipe):
        pass
    assert "encode_prompt" not in vars(pipe)


def test_kontext(twin):
    """A reference picture's positions among the picture's: told when it draws, nothing is left."""
    from builders.script_pipelines import picture
    from diffusers import FluxKontextPipeline

    flux = load_model(str(twin("flux")), device="cpu").pipe
    kontext: Any = FluxKontextPipeline.from_pipe(flux)
    with (
        pytest.raises(UserError, match=r"those of a reference picture, as in Kontext, are among them"),
        seediff.capture(kontext),
    ):
        kontext(picture(), "a dog", height=64, width=64, num_inference_steps=1, max_area=64 * 64, _auto_resize=False)
