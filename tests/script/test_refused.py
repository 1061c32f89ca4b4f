import warnings
from functools import partial

import numpy as np
import pytest
import torch
from builders.clip_pipelines import animate, cog_network, wan
from builders.refusals import user_error

import seediff
from seediff.errors import UserError


@pytest.fixture
def pipe(sd1_pipe):
    return sd1_pipe


def layer(pipe, block="mid_block", kind="attn2"):
    return pipe.unet.get_submodule(f"{block}.attentions.0.transformer_blocks.0.{kind}")


def draw(pipe):
    noise = torch.Generator().manual_seed(1)
    return pipe("a dog", height=64, width=64, num_inference_steps=1, generator=noise).images[0]


def check_refused(pipe, message):
    """What is drawn is refused in a line that matches `message`."""
    with user_error(message), seediff.capture(pipe):
        draw(pipe)


def check_kept(pipe, message):
    """What is drawn stays the same, one warning says that its maps cannot be had, and each way to them raises a line
    that matches `message`."""
    plain = draw(pipe)
    with warnings.catch_warnings(record=True) as said, seediff.capture(pipe) as seen:
        warnings.simplefilter("always")
        image = draw(pipe)
    assert np.array_equal(image, plain)
    assert np.array_equal(seen.images[0], plain)
    told = [str(one.message) for one in said if "attention is not captured any more" in str(one.message)]
    assert len(told) == 1
    heat, masks = partial(seen.heatmap, "dog"), partial(seen.masks, "dog")
    for way in (lambda: seen.maps, heat, seen.heatmaps, masks, partial(seen.segments, num_points=4)):
        with user_error(message):
            way()


def refusal(pipe, **options):
    with pytest.raises(UserError) as error, seediff.capture(pipe, **options):
        pass
    return str(error.value)


def test_an_ip_adapter(pipe):
    from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

    attention = layer(pipe)
    attention.set_processor(IPAdapterAttnProcessor2_0(hidden_size=64, cross_attention_dim=32))
    assert refusal(pipe).startswith("an IP-Adapter is loaded (mid_block.attentions.0")


class Regional:
    """Another library's processor. texts: how many it attends to, each in a product of its own."""

    def __init__(self, texts=1):
        self.texts = texts

    def attend(self, attention, states, context):
        query, key, value = attention.to_q(states), attention.to_k(context), attention.to_v(context)
        heads = (x.unflatten(2, (attention.heads, -1)).transpose(1, 2) for x in (query, key, value))
        return torch.nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)

    def __call__(self, attention, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        found = [self.attend(attention, hidden_states, context.roll(turn, 1)) for turn in range(self.texts)]
        return attention.to_out[0](torch.stack(found).mean(0))


class Together(Regional):
    """Another, which attends to two texts in more rows of one product."""

    def attend(self, attention, states, context):
        both = super().attend(attention, states.repeat(2, 1, 1), torch.cat([context, context.flip(1)]))
        return both[: len(states)]


class ByHand(Regional):
    """Another, which multiplies itself."""

    def attend(self, attention, states, context):
        query, key, value = attention.to_q(states), attention.to_k(context), attention.to_v(context)
        return (query @ key.mT * attention.scale).softmax(-1) @ value


class Flex(Regional):
    """Another, by an operator of PyTorch's that is written in Python."""

    def attend(self, attention, states, context):
        from torch.nn.attention.flex_attention import flex_attention

        heads = (
            part.unsqueeze(1) for part in (attention.to_q(states), attention.to_k(context), attention.to_v(context))
        )
        return flex_attention(*heads).squeeze(1)


@pytest.mark.parametrize(
    ("processor", "said"),
    [
        (Regional(2), r"computes attention of the image's positions twice in one call \(regional prompts\?\); draw"),
        (Together(), r"computes attention of a batch of 4 instead of 2; draw without it"),
        (ByHand(), r"computes attention in another way than by PyTorch's .*: disable_attention_slicing\(\)"),
        (Flex(), r"computes attention in another way than by PyTorch's .*: disable_attention_slicing\(\)"),
    ],
)
def test_a_processor_whose_products_are_not_the_prompts_alone(pipe, processor, said):
    layer(pipe).set_processor(processor)
    check_kept(pipe, rf"^mid_block\..*attn2: {said}")
    pipe.disable_attention_slicing()  # the way out
    with seediff.capture(pipe) as seen:
        draw(pipe)
    assert len(seen.maps) == 1


def test_an_error_inside_of_a_layer_leaves_nothing_for_the_next_image(pipe):
    """As where memory runs out and fewer pictures are drawn."""
    value = layer(pipe).to_v
    handle = value.register_forward_hook(lambda *_: 1 / 0)
    with seediff.capture(pipe) as seen:
        with pytest.raises(ZeroDivisionError):
            draw(pipe)
        handle.remove()
        draw(pipe)
    assert seen.prompts == ["a dog"]


@pytest.mark.slow
def test_what_is_no_pipeline_of_a_known_family(pipe):
    from diffusers import (
        FluxModularPipeline,
        WanImageToVideoPipeline,
    )

    class Own:
        unet = pipe.unet

    class Called(Own):
        def __call__(self):
            pass

    clip, free = animate(pipe), animate(pipe)
    clip.enable_free_noise(context_length=4, context_stride=2)
    free.enable_free_init(num_iters=2)
    of_image = WanImageToVideoPipeline(**{**wan().components, "image_processor": None, "image_encoder": None})
    for given, said in (
        (clip, "free_noise_enabled: such clips cannot be captured; call pipe.disable_free_noise() first"),
        (free, "free_init_enabled: such clips cannot be captured; call pipe.disable_free_init() first"),
        (of_image, "a WanImageToVideoPipeline: cannot be captured; use a WanPipeline"),
        (cog_network(patch_size_t=2), "CogVideoX 1.5: each of its positions covers several latent frames"),
        (pipe.vae, "attention of a AutoencoderKL cannot be captured"),
        (
            FluxModularPipeline.__new__(FluxModularPipeline),
            "a FluxModularPipeline: cannot be captured; modular pipelines do not say which text each",
        ),
        (3, "a int: has no unet and no transformer"),
        ("sd1.5", "a str: cannot be captured; give what draws: capture(seediff.load_model('sd1.5'))"),
        (torch.nn.DataParallel(pipe.unet), "a DataParallel: cannot be captured; give the network inside"),
    ):
        assert refusal(given).startswith(said)
    with seediff.capture(Called()) as seen:
        seen._recording.pipe()
    assert seen.prompts == []


def test_a_network_inside_of_another_one(pipe):
    from peft import LoraConfig, get_peft_model

    pipe.unet = get_peft_model(pipe.unet, LoraConfig(target_modules=["to_q"]))
    way = r"pipe.unet = pipe.unet.get_base_model\(\) with PEFT, or accelerator.unwrap_model\(pipe.unet\)"
    check_refused(pipe, rf"^pipe.unet: is a PeftModel, and only a UNet2DConditionModel can be captured; {way}$")
    pipe.unet = pipe.unet.get_base_model()
    with seediff.capture(pipe) as seen:
        draw(pipe)
    assert seen.prompts == ["a dog"]


def test_options(pipe, loaded):
    assert refusal(pipe, states=(torch.ones(1, 77, 32), None)).startswith(
        "states: must be a tensor (T, D) or (B, T, D)"
    )
    assert refusal(pipe, keep="everything").startswith("keep: 'everything' must be all, segments or a method of masks")
    assert refusal(pipe, steps="second-half").startswith("steps: second-half: ")
    assert refusal(animate(pipe), apart="step").startswith("apart: step: not with clips, or a method with a geometric")
    assert refusal(pipe, layers="3").startswith("capture.layers: 3: blocks are a transformer's")


def test_a_method_that_needs_another_capture(pipe):
    """What the line names is enough."""
    for keep in ("all", "daam"):
        with seediff.capture(pipe, keep=keep) as seen:
            draw(pipe)
        if keep == "all":
            with user_error(r"method daam .* capture\(pipe, keep='daam'\) makes them$"):
                seen.masks("dog", method="daam", pamr=False)
    assert seen.masks("dog", pamr=False).classes == ("dog",)


def test_attention_of_another_number_of_positions(pipe):
    attention = layer(pipe, "up_blocks.1", "attn1")
    forward = attention.forward

    def in_tiles(states, **more):
        return forward(states.reshape(4 * len(states), -1, states.shape[2]), **more).reshape(states.shape)

    attention.forward = in_tiles
    check_kept(pipe, r"^up_blocks\.1\..*\.attn1: computes attention of \d+ positions to \d+, and the image has 4 ")
    with seediff.capture(pipe, keep="ca"):
        draw(pipe)


@pytest.mark.parametrize(
    ("dtype", "said"),
    [
        (
            torch.float32,
            r"^model: probabilities of mid_block\.\S+attn2.* are not numbers, although it computes in float32; its w",
        ),
        (
            torch.float16,
            r"^dtype: float16: overflowed: .* are not numbers",
        ),
    ],
)
def test_attention_that_is_not_a_number(pipe, dtype, said):
    """What a script can do is named, where it is something."""
    pipe.to(dtype)
    layer(pipe).to_q.weight.data.fill_(float("nan"))
    with seediff.capture(pipe) as seen:
        draw(pipe)
    with user_error(said):
        seen.heatmap("dog")


def test_segments_of_sides_that_levels_do_not_halve_evenly(pipe):
    for height, width in ((64, 128), (72, 64)):
        with seediff.capture(pipe) as seen:
            pipe("a dog", height=height, width=width, num_inference_steps=1)
        if height == 64:
            assert seen.segments(num_points=4).label_map.shape == (64, 128)
    with user_error(r"^image: 64 × 72: self-attention .*; draw one whose sides are multiples of 64$"):
        seen.segments(num_points=4)


def test_more_than_the_memory_holds(pipe, monkeypatch):
    """Known before the first layer runs."""
    monkeypatch.setattr("seediff.script.recording.memory_bytes", lambda: 1000)
    calls = []
    pipe.unet.conv_in.register_forward_hook(lambda *_: calls.append(1))
    check_refused(pipe, r"^the attention maps: those of 1 images take .*; draw fewer or smaller images at once")
    assert calls == []
