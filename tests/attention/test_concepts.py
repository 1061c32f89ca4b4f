"""Concepts beside the prompt, against the blocks' own equations in float64."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from seediff.attention.capture import capture_attention
from seediff.attention.concepts import read_concepts
from seediff.attention.generate import generate_batch
from seediff.attention.maps import AttentionMaps
from seediff.attention.photograph import capture_images, join_maps
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.levels import check_kinds
from seediff.errors import UserError
from seediff.files.outputs import write_tensors
from seediff.masks.concept import concept
from seediff.masks.make import make_masks
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec

CONCEPTS = CaptureConfig(concepts=True)
CLASSES = [["dog"], ["dog", "cat"]]
PROMPTS = ["a photo of a dog", "a photo of a dog and a cat"]


@pytest.fixture(params=["sd3", "flux", "chroma", "flux2", "flux2_klein"])
def model(request, twin):
    return load_model(str(twin(request.param)), device="cpu")


def see(model, capture=CONCEPTS, chosen=(0, 1), **options) -> Any:
    images = [np.random.default_rng(i).integers(0, 256, (model.image_side, model.image_side, 3), dtype=np.uint8) for i in chosen]
    prompts, classes = ([of[i] for i in chosen] for of in (PROMPTS, CLASSES))
    seen = capture_images(model, images, prompts, classes, timesteps=(100, 400), seed=0, capture=capture, indices=chosen, **options)
    return seen[capture.layers] if not options else seen


def turned(states: torch.Tensor, rotary, rows: slice) -> torch.Tensor:
    """FLUX's rotation of pairs of channels of (S, H, D)."""
    if rotary is None:
        return states
    cos, sin = (part.double()[rows, None] for part in rotary)
    pairs = states.unflatten(-1, (-1, 2))
    return states * cos + torch.stack([-pairs[..., 1], pairs[..., 0]], -1).flatten(-2) * sin


def reference(model, image: int) -> torch.Tensor:
    """Mean scores (N, C) over blocks of two streams and steps, from each block's inputs, in float64."""
    network, total, count = model.network, torch.zeros(()), 0
    concepts = read_concepts(model, [CLASSES[image]])[0].states
    blocks = [block for block in network.transformer_blocks if not getattr(block, "context_pre_only", False)]
    calls: list[list[dict]] = [[] for _ in blocks]
    hooks = [
        block.register_forward_pre_hook(lambda _m, _a, kwargs, held=held: held.append(kwargs), with_kwargs=True)
        for block, held in zip(blocks, calls, strict=True)
    ]
    see(model, CaptureConfig(), chosen=(image,))
    for hook in hooks:
        hook.remove()
    for of_step in zip(*calls, strict=True):
        states = deepcopy(model.network.context_embedder).double()(concepts.double())[None]
        for block, given in zip(blocks, of_step, strict=True):
            exact, attention = deepcopy(block).double(), block.attn
            columns, heads = given["encoder_hidden_states"].shape[1], attention.heads
            picture = given["hidden_states"].double()
            embedding = given["temb"].double()
            norms = [exact.norm1(picture, emb=embedding), exact.norm1_context(states, emb=embedding)]
            of_picture, of_concepts = (norm[0] for norm in norms)
            of_text = exact.norm1_context(given["encoder_hidden_states"].double(), emb=embedding)[0]
            _, gate, shift_mlp, scale_mlp, gate_mlp = norms[1]
            module, rotary = exact.attn, given.get("image_rotary_emb")

            def project(x, kind, added, module=module, heads=heads):
                linear = getattr(module, f"add_{kind}_proj" if added else f"to_{kind}")
                norm = getattr(module, f"norm_added_{kind}" if added else f"norm_{kind}", None) if kind != "v" else None
                out = linear(x)[0].unflatten(1, (heads, -1))
                return out if norm is None else norm(out)

            def outputs(queries, text, pick, project=project, rotary=rotary, columns=columns, of_picture=of_picture):
                """Heads side by side (rows, H·D) of queries that attend to a text and the picture."""
                key = torch.cat([pick(project(text, "k", True)), turned(project(of_picture, "k", False), rotary, slice(columns, None))])
                value = torch.cat([project(text, "v", True), project(of_picture, "v", False)])
                scores = torch.einsum("qhd,khd->hqk", queries, key) / queries.shape[-1] ** 0.5
                return torch.einsum("hqk,khd->qhd", scores.softmax(-1), value).flatten(1)

            prompt = lambda x, rotary=rotary, columns=columns: turned(x, rotary, slice(columns))  # noqa: E731
            first = lambda x, rotary=rotary: x if rotary is None else turned(x, [p[:1].expand(len(x), -1) for p in rotary], slice(None))  # noqa: E731
            seen = outputs(turned(project(of_picture, "q", False), rotary, slice(columns, None)), of_text, prompt)
            found = outputs(first(project(of_concepts, "q", True)), of_concepts, first)
            total, count = total + seen @ found.T, count + 1
            states = states + gate[:, None] * module.to_add_out(found)[None]
            inner = exact.norm2_context(states) * (1 + scale_mlp[:, None]) + shift_mlp[:, None]
            states = states + gate_mlp[:, None] * exact.ff_context(inner)
    return total / count


@pytest.mark.parametrize("name", ["sd3", "flux"])
def test_scores_equal_the_equations_in_float64(name: str, twin):
    model = load_model(str(twin(name)), device="cpu")
    for image, maps in enumerate(see(model)):
        assert maps.concept_names[: len(CLASSES[image])] == tuple(CLASSES[image])
        (scores,) = maps.concepts.values()
        wanted = reference(model, image)
        assert scores.shape == wanted.shape
        torch.testing.assert_close(scores.double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.detach().abs().max()))


def test_the_picture_and_its_attention_stay_equal_to_the_bit(model):
    specs = [SampleSpec(i, tuple(CLASSES[i]), PROMPTS[i], i) for i in range(2)]
    guidance = 3.0 if model.family.guided(model.pipe, 3.0) else 0.0
    options = {"steps": 2, "guidance_scale": guidance, "negative_prompt": "", "size": None}
    plain, of_plain = generate_batch(model, specs, capture=CaptureConfig(), **options)
    images, found = generate_batch(model, specs, capture=CONCEPTS, **options)
    for before, after, one, other in zip(plain, images, of_plain["all"], found["all"], strict=True):
        assert np.array_equal(before, after)
        assert all(torch.equal(tensor, other.cross_attention[grid]) for grid, tensor in one.cross_attention.items())
        assert not one.concepts
        assert other.concepts


def test_an_image_alone_has_the_concepts_that_it_has_in_a_batch(model, tmp_path):
    both, (alone,) = see(model), see(model, chosen=(1,))
    (together,), (single,) = both[1].concepts.values(), alone.concepts.values()
    torch.testing.assert_close(together, single, rtol=1e-4, atol=1e-5 * float(single.abs().max()))
    alone.save(tmp_path / "maps.safetensors")
    loaded = AttentionMaps.load(tmp_path / "maps.safetensors")
    assert loaded.concept_names == alone.concept_names
    assert torch.equal(loaded.concepts[alone.latent_size], single)
    masks = make_masks(None, loaded, ["dog", "cat"], MaskConfig(method="concept", pamr=False), size=(32, 32))
    assert masks.label_map.shape == (32, 32)


def test_chosen_blocks_and_groups(twin):
    model = load_model(str(twin("flux")), device="cpu")
    first, second = (see(model, CaptureConfig(concepts=True, layers=layers), chosen=(0,))[0] for layers in ("0", "0-1"))
    groups = see(model, chosen=(0,), groups=("0", "0-1"))
    for layers, alone in (("0", first), ("0-1", second)):
        torch.testing.assert_close(groups[layers][0].concepts, alone.concepts)


def test_in_several_sentences_a_concept_is_there_once():
    """A class has the scores of its own sentence, even if other sentences have its word for the background; other words have the mean."""
    scores, cross = torch.tensor([[1.0, 2.0, 3.0], [0.0, 5.0, 1.0]]), {(1, 2): torch.zeros(2, 4)}
    first = AttentionMaps({}, cross, (1, 2), {"dog": (1,)}, concepts={(1, 2): scores}, concept_names=("dog", "background", "tree"))
    words, names = {"tree": (1,), "bus": (2,)}, ("tree", "bus", "background")
    second = replace(first, words=words, concepts={(1, 2): 10 * scores}, concept_names=names)
    joined = join_maps([first, second])
    assert joined.concept_names == ("dog", "background", "tree", "bus")
    wanted = np.array([[1, 16, 10, 20], [0, 7.5, 0, 50]])
    np.testing.assert_allclose(joined.concepts[1, 2].numpy(), wanted)
    shares = np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True)
    for name in joined.words:
        soft = concept(joined, name, MaskConfig(method="concept")).soft
        np.testing.assert_allclose(soft[0].numpy(), shares[:, joined.concept_names.index(name)], atol=1e-6)


def test_what_cannot_be_followed_is_refused(twin, mini_model, joint_folder):
    joint_model = load_model(str(joint_folder), device="cpu")
    with pytest.raises(UserError, match="concepts go through the text's own stream, which Z-Image does not have, or hides"):
        check_kinds(load_model(str(twin("z_image")), device="cpu").family, MaskConfig(method="concept"))
    with pytest.raises(UserError, match="concepts go through the text's own stream"):
        see(mini_model)
    last = len(joint_model.network.transformer_blocks) - 1
    with pytest.raises(
        UserError, match=f"layers = {last}: concepts need blocks whose text has a stream of its own; these are transformer_blocks"
    ):
        see(joint_model, CaptureConfig(concepts=True, layers=str(last)))
    with (
        pytest.raises(UserError, match="their words are read before the picture is drawn"),
        capture_attention(joint_model.network, CONCEPTS, guidance=False),
    ):
        pass


def test_a_layer_of_what_has_none_is_refused_in_a_file(tmp_path):
    write_tensors(
        tmp_path / "maps.safetensors",
        {"features.2.up": torch.zeros(4, 3)},
        {"seediff": '{"latent_side": 2, "words": {}, "prompt": "", "normalized": true}'},
    )
    with pytest.raises(UserError, match=r'has a tensor "features\.2\.up"'):
        AttentionMaps.load(tmp_path / "maps.safetensors")
