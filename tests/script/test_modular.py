"""Anima, whose pipeline is a modular one."""

from copy import copy

import numpy as np
import pytest
import torch
from builders.eager import Seen, means
from builders.refusals import user_error
from builders.twins import WIDTH, flow_scheduler, language, qwen_tokenizer, sharpen, t5_tokenizer, vae_of_qwen_image

import seediff

PROMPT, TEXT, SIDES = "a photo of a cat and a potted plant", 512, {"height": 64, "width": 96}


@pytest.fixture(scope="module")
def pipe():
    """Three blocks; at 64 × 96 pixels, 16 × 24 positions."""
    from diffusers import AnimaTextConditioner, CosmosTransformer3DModel
    from diffusers.modular_pipelines.anima import AnimaAutoBlocks
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer = CosmosTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=24,
        num_layers=3,
        text_embed_dim=WIDTH,
        adaln_lora_dim=8,
        max_size=(1, 48, 48),
        concat_padding_mask=False,
        extra_pos_embed_type=None,
    )
    conditioner = AnimaTextConditioner(
        source_dim=WIDTH, target_dim=WIDTH, model_dim=WIDTH, num_layers=1, num_attention_heads=2
    )
    pipe = AnimaAutoBlocks().init_pipeline()
    parts = {
        "text_encoder": Qwen3Model(Qwen3Config(**language(tokenizer, 2, WIDTH))),
        "tokenizer": tokenizer,
        "t5_tokenizer": t5_tokenizer(),
        "text_conditioner": conditioner,
        "transformer": sharpen(transformer),
        "vae": vae_of_qwen_image(1),
        "scheduler": flow_scheduler(shift=3.0),
    }
    pipe.update_components(**parts)
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    return pipe


def draw(pipe, **more):
    noise = torch.Generator().manual_seed(4)
    given = {"prompt": PROMPT, "num_inference_steps": 2, "generator": noise, "output": "images", **SIDES, **more}
    return np.asarray(pipe(**given)[0])


def test_words_of_a_modular_pipeline(pipe, monkeypatch):
    """Pictures are equal, and maps are those that the product has in float64."""
    plain, kept = draw(pipe), []
    true = torch.nn.functional.scaled_dot_product_attention

    def watch(query, key, value, **more):
        if query.shape[2] == 16 * 24:
            scores = query.double() @ key.double().transpose(-1, -2) * query.shape[-1] ** -0.5
            kept.append(Seen("attn2" if key.shape[2] == TEXT else "attn1", scores.softmax(-1)))
        return true(query, key, value, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watch)
    with seediff.capture(pipe) as seen:
        drawn = draw(pipe)
    assert np.array_equal(plain, drawn)
    assert np.array_equal(seen.images[0], drawn)
    with_prompt = [one for number, one in enumerate(kept) if number // 6 % 2 == 0]  # each step: with it, without it
    (maps,) = seen.maps
    for (kind, _), expected in means(with_prompt, 1, None, None).items():
        found = getattr(maps, f"{kind}_attention")[16, 24]
        assert (found.double() - expected[0]).abs().max() < 1e-6
    assert {"cat", "plant"} <= {*maps.words}
    ids = pipe.t5_tokenizer(PROMPT).input_ids
    for word, columns in maps.words.items():
        assert "".join(pipe.t5_tokenizer.decode(ids[column]) for column in columns).replace(" ", "") == word
    assert seen.masks("cat", "potted plant", method="ca").label_map.shape == (64, 96)


def test_a_batch_a_negative_prompt_and_the_network_alone(pipe):
    prompts, more = ["a dog", PROMPT], {"num_inference_steps": 1, **SIDES}
    with seediff.capture(pipe, negative=True) as seen:
        pipe(prompt=prompts, negative_prompt="a bus", output="images", **more)
    assert seen.prompts == prompts
    assert seen.heatmap("cat", 1).shape == seen.heatmap("bus", 0, of="negative").shape == (64, 96)
    with seediff.capture(pipe) as alone:
        state = pipe(prompt=PROMPT, **more)
    assert alone.images[0].shape == (64, 96, 3)  # of its whole state
    own = {"prompt": PROMPT, "tokenizer": pipe.t5_tokenizer, "states": state.get("prompt_embeds")[0]}
    with seediff.capture(pipe.transformer, **own) as network:
        pipe(prompt=PROMPT, generator=torch.Generator().manual_seed(1), **more)
    assert network.maps[0].words == alone.maps[0].words


def test_a_pipeline_that_inherits(pipe):
    class Own(type(pipe)):
        pass

    own = copy(pipe)
    own.__class__ = Own
    with seediff.capture(own) as seen:
        own(prompt=PROMPT, num_inference_steps=1, output="images", **SIDES)
    assert seen.heatmap("cat").shape == (64, 96)


def test_what_cannot_be_known_is_refused(pipe):
    state = pipe(prompt=PROMPT, num_inference_steps=1, **SIDES)
    with user_error("no encode_prompt encoded the text"), seediff.capture(pipe):
        pipe(state=state)

    class CosmosOfAnotherKind:
        transformer = pipe.transformer

        def __call__(self):
            pass

    with user_error("^a CosmosOfAnotherKind: cannot be captured; use a AnimaModularPipeline"):
        seediff.capture(CosmosOfAnotherKind()).__enter__()
    clip = {"hidden_states": torch.zeros(1, 4, 2, 16, 16), "timestep": torch.ones(1)}
    with (
        user_error("^the network: draws clips, or is shown other pictures"),
        seediff.capture(pipe.transformer, prompt="a dog", tokenizer=pipe.t5_tokenizer),
    ):
        pipe.transformer(encoder_hidden_states=torch.zeros(1, TEXT, WIDTH), **clip)
