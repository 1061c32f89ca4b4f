"""Presence scores: by plain arithmetic, by what they must not depend on, and on the embedded model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seediff.encode import encode_images
from seediff.errors import UserError
from seediff.models.mini.scenes import load_scenes
from seediff.presence import STRONGEST, find_classes, log_ratio, presence
from seediff.types import AttentionMaps

SIDE = 16
WORDS = {"dog": (5,), "pottedplant": (8, 9)}  # start, a, photo, of, a, dog, and, a, potted, plant, end


def cross_maps(seed: int = 0, words: dict[str, tuple[int, ...]] = WORDS) -> AttentionMaps:
    """Plain cross-attention of three levels to twelve tokens."""
    generator = torch.Generator().manual_seed(seed)
    cross = {s: torch.randn(s * s, 12, generator=generator).mul(2).softmax(1) for s in (SIDE, SIDE // 2, SIDE // 4)}
    return AttentionMaps({}, cross, SIDE, words, "a photo of a dog and a potted plant", normalized=False)


def changed(maps: AttentionMaps, column: int, factor: float) -> AttentionMaps:
    """The maps with one token's attention multiplied."""
    factors = torch.ones(12)
    factors[column] = factor
    return replace(maps, cross_attention={side: attention * factors for side, attention in maps.cross_attention.items()})


def bilinear(values: np.ndarray, side: int) -> np.ndarray:
    """Plain bilinear enlargement, pixel centres aligned (align_corners=False)."""
    at = np.clip((np.arange(side) + 0.5) * len(values) / side - 0.5, 0, len(values) - 1)
    low = np.minimum(at.astype(int), len(values) - 2)
    part = at - low
    rows = values[low] * (1 - part)[:, None] + values[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


@pytest.mark.parametrize("name", WORDS)
def test_equals_plain_arithmetic(name: str) -> None:
    maps = cross_maps()
    logs = []
    for side, attention in maps.cross_attention.items():
        plain = attention.double().numpy()
        ratio = plain[:, list(WORDS[name])].mean(1) / plain[:, 1:5].mean(1)
        logs.append(bilinear(np.log(ratio).reshape(side, side), SIDE))
    ratio = np.exp(np.sort(np.mean(logs, 0).ravel())[-round(STRONGEST * SIDE**2) :].mean()) * 2**0.25  # a sentence of two classes
    assert presence(maps, name) == pytest.approx(ratio / (1 + ratio), abs=1e-6)


def test_as_much_as_nothing_is_a_half() -> None:
    cross = {side: torch.full((side * side, 12), 1 / 12) for side in (SIDE, SIDE // 2)}
    assert presence(AttentionMaps({}, cross, SIDE, {"dog": (5,)}, "a photo of a dog", normalized=False), "dog") == 0.5


@given(st.floats(0.05, 20), st.integers(0, 5))
def test_words_elsewhere_in_the_sentence_do_not_count(factor: float, seed: int) -> None:
    maps = cross_maps(seed)
    for column in (0, 6, 8, 10, 11):  # start, and, another class, end, padding
        assert presence(changed(maps, column, factor), "dog") == presence(maps, "dog")


@given(st.floats(1.1, 20), st.integers(0, 5))
def test_more_attention_is_a_higher_score(factor: float, seed: int) -> None:
    maps = cross_maps(seed)
    score = presence(maps, "dog")
    odds = score / (1 - score)
    more = presence(changed(maps, 5, factor), "dog")
    assert more / (1 - more) == pytest.approx(factor * odds, rel=1e-3)


def test_a_sentence_that_begins_with_a_class_is_measured_against_the_start() -> None:
    maps = cross_maps(words={"dog": (1,)})
    expected = torch.log(maps.cross_attention[SIDE][:, 1] / maps.cross_attention[SIDE][:, 0]).reshape(SIDE, SIDE)
    only = replace(maps, cross_attention={SIDE: maps.cross_attention[SIDE]})
    torch.testing.assert_close(log_ratio(only, "dog"), expected)


def test_attention_that_half_precision_rounded_to_zero() -> None:
    maps = cross_maps()
    assert 0 < presence(changed(maps, 5, 0.0), "dog") < 0.5
    nothing = replace(maps, cross_attention={SIDE: torch.zeros(SIDE * SIDE, 12)}, words={"dog": (5,)})
    assert presence(nothing, "dog") == 0.5


def test_mistakes_are_answered() -> None:
    maps = cross_maps()
    with pytest.raises(ValueError, match="plain means"):
        presence(replace(maps, normalized=True), "dog")
    with pytest.raises(UserError, match="'cat' is not in the prompt"):
        presence(maps, "cat")
    with pytest.raises(UserError, match="none was captured"):
        presence(replace(maps, cross_attention={}), "dog")


def test_scores_do_not_depend_on_the_batch(mini_model) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(3)]
    sentences = [[("a photo of a dog", ("dog",)), ("a photo of a cat", ("cat",))], [], [("a photo of a bus and a car", ("car", "bus"))]]
    latents = encode_images(mini_model, images)
    together = find_classes(mini_model, latents, sentences)
    assert [list(scores) for scores in together] == [["dog", "cat"], [], ["car", "bus"]]
    for one, own, scores in zip(latents, sentences, together, strict=True):
        assert find_classes(mini_model, one[None], [own])[0] == pytest.approx(scores, abs=1e-5)
    assert find_classes(mini_model, latents[:0], []) == []


def test_tells_present_from_absent_on_the_embedded_model() -> None:
    from seediff.models.registry import load_model

    scenes = [scene for scene in load_scenes("tune", 12) if len(scene.classes) == 1][:4]
    others = [next(name for name in ("boat", "sofa", "sheep") if name != scene.classes[0]) for scene in scenes]
    sentences = [
        [(f"a photo of a {other} and a {scene.classes[0]}", (other, scene.classes[0]))] for scene, other in zip(scenes, others, strict=True)
    ]
    model = load_model("mini", device="cpu")
    found = find_classes(model, encode_images(model, [scene.image for scene in scenes]), sentences)
    present = [scores[scene.classes[0]] for scores, scene in zip(found, scenes, strict=True)]
    absent = [scores[other] for scores, other in zip(found, others, strict=True)]
    assert np.mean(present) > np.mean(absent) + 0.03
