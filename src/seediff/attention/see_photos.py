"""Captures the attention of existing images: each image is encoded, noised, and given to the network with a text.

encode_images ─▶ latents ─▶ capture_classes   several amounts of noise, several texts an image: for masks
                        ─▶ capture_clean     no noise, one text an image: for segments
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from ..config.class_names import partners
from ..config.methods import CaptureConfig
from ..config.sizes import check_sides
from ..errors import UserError, not_finite
from ..models.families.family import pixels_per_latent
from ..models.hooks import NetworkInputs
from ..models.layers import Grid, Kind
from ..models.registry import Model
from ..prompts.tokens import Sentence, locate_columns
from .draw import attended_texts
from .maps import AttentionMaps
from .network import record_attention
from .plan import PLAIN_MEANS, CapturePlan, plan_capture


@torch.no_grad()
def encode_images(model: Model, images: Sequence[np.ndarray]) -> torch.Tensor:
    """Latents (B, C, h, w) of images (H, W, 3) uint8 of one size, on the model's device. They are the mean that the
    encoder predicts, shifted and scaled for the network. Raises UserError for sides that the model does not support.
    """
    check_sides(images[0].shape[:2], "image size", model.info.name, model.sizes.multiple, model.sizes.largest)
    vae = model.pipe.vae
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(model.device, vae.dtype) / 127.5 - 1
    latents = model.family.latents(model.pipe, pixels)
    model.rest()
    if not latents.isfinite().all():
        raise not_finite("the encoded images", model.dtype)
    return latents


def encode_mirrored(model: Model, images: Sequence[np.ndarray], capture: CaptureConfig) -> torch.Tensor | None:
    """Latents of the images mirrored left to right, as from `encode_images`; None if `capture.flip` is off."""
    return encode_images(model, [image[:, ::-1].copy() for image in images]) if capture.flip else None


@torch.no_grad()
def capture_classes(
    model: Model,
    latents: torch.Tensor,
    sentences: Sequence[Sequence[Sentence]],
    *,
    timesteps: Sequence[int],
    seed: int,
    plan: CapturePlan,
    indices: Sequence[int],
    mirrored: torch.Tensor | None = None,
) -> list[AttentionMaps]:
    """Attention of images of one size to sentences about them, averaged over timesteps, on the model's device: one
    AttentionMaps per image. Its cross-attention has the tokens of all the image's sentences, one sentence after the
    other; its self-attention is averaged over the sentences. The network is called once per timestep and sentence,
    without guidance; all sentences use the same noise.

    latents: (B, C, h, w) from `encode_images`. sentences: at least one for each image. timesteps: timesteps of the
    noise schedule, in any order; the network sees the noisiest first. seed, indices: an image's noise depends only on
    the seed and the image's number, so batches do not change it. plan: from `plan_capture`; its steps are these
    timesteps. mirrored: latents from `encode_mirrored`, which get the same noise; their maps are mirrored back and
    averaged with the maps of `latents`.
    """

    def capture(shown: torch.Tensor, rows: Sequence[int], some: Sequence[Sentence]) -> list[AttentionMaps]:
        """The maps of some images, for `by_sentence`. shown: latents of all images. rows: the numbers of the images.
        some: a sentence about each of these images."""
        texts, words, text_states = attended_texts(model, plan, some)
        numbers = [indices[row] for row in rows]
        with record_attention(model.network, plan, total_steps=len(timesteps), text_states=text_states) as recorder:
            run_noised(model, shown[rows], [text for text, _ in some], timesteps=timesteps, seed=seed, indices=numbers)
        return recorder.maps(words, texts)

    both = [
        [join_maps(of_image) for of_image in by_sentence(sentences, partial(capture, shown))]
        for shown in (latents, mirrored)
        if shown is not None
    ]
    if mirrored is None:
        return both[0]
    return [average_mirrored(*pair) for pair in zip(*both, strict=True)]


def by_sentence(
    sentences: Sequence[Sequence[Sentence]],
    capture_images: Callable[[Sequence[int], Sequence[Sentence]], Sequence[AttentionMaps]],
) -> list[list[AttentionMaps]]:
    """For each image, its maps with each of its sentences.

    sentences: for each image; images may have different numbers of them. capture_images: returns the maps of some
    images. It is called with the numbers of these images, and a sentence about each. The first call has the first
    sentence of every image, the second call the second sentence of every image that has a second one, and so on. So no
    call has an image twice.
    """
    by_image: list[list[AttentionMaps]] = [[] for _ in sentences]
    for turn in range(max(map(len, sentences), default=0)):
        rows = [i for i, of_image in enumerate(sentences) if turn < len(of_image)]
        captured = capture_images(rows, [sentences[i][turn] for i in rows])
        for i, maps in zip(rows, captured, strict=True):
            by_image[i].append(maps)
    return by_image


@torch.no_grad()
def run_noised(
    model: Model,
    latents: torch.Tensor,
    prompts: Sequence[str],
    *,
    timesteps: Sequence[int],
    seed: int,
    indices: Sequence[int],
) -> None:
    """Call the network once per timestep with the latents (B, C, h, w) and noise, the noisiest first, without guidance.
    Returns nothing: hooks read the attention. Arguments are as in `capture_classes`; prompts: one per image."""
    descending = check_schedule(model, timesteps)
    inputs = read_prompts(model, prompts, latents)
    generators = [_generator(seed, index) for index in indices]
    for timestep in descending:
        shape = latents.shape[1:]
        how = {"dtype": torch.float32, "device": "cpu"}
        noise = torch.stack([torch.randn(shape, generator=g, **how) for g in generators]).to(latents)
        a, b = model.family.mix(model.pipe, timestep)
        model.denoise(a * latents + b * noise, timestep, inputs)
    model.rest()


def read_prompts(model: Model, prompts: Sequence[str], latents: torch.Tensor) -> NetworkInputs:
    """The network's other inputs for pictures of these prompts, without guidance. latents: (…, h, w) of a picture."""
    height, width = (pixels_per_latent(model.info.vae_config) * side for side in latents.shape[-2:])
    inputs = model.network_inputs(list(prompts), height, width)
    model.rest()
    return inputs


def check_schedule(model: Model, timesteps: Sequence[int]) -> list[int]:
    """The timesteps, the noisiest first. Raises UserError for a model whose scheduler has no noise schedule."""
    if not model.family.has_noise_schedule(model.pipe):
        its = f"model '{model.info.name}': its scheduler ({type(model.pipe.scheduler).__name__})"
        raise UserError(f"{its} has no noise schedule: how noisy a timestep is, is unknown")
    return sorted(timesteps, reverse=True)


def join_maps(maps: Sequence[AttentionMaps]) -> AttentionMaps:
    """Join the maps of one image with several sentences. Columns of cross-attention stand one sentence after the other;
    self-attention is averaged."""
    if len(maps) == 1:
        return maps[0]
    words: dict[str, tuple[int, ...]] = {}
    columns = 0
    for sentence in maps:
        words |= {name: tuple(columns + t for t in of_word) for name, of_word in sentence.words.items()}
        columns += next(iter(sentence.cross_attention.values())).shape[1]
    self_maps = [sentence.self_attention for sentence in maps]
    cross_maps = [sentence.cross_attention for sentence in maps]
    return replace(
        maps[0],
        self_attention={grid: torch.stack([of[grid] for of in self_maps]).mean(0) for grid in self_maps[0]},
        cross_attention={grid: torch.cat([of[grid] for of in cross_maps], 1) for grid in cross_maps[0]},
        words=words,
        prompt=" | ".join(sentence.prompt for sentence in maps),
    )


def average_mirrored(maps: AttentionMaps, mirrored: AttentionMaps) -> AttentionMaps:
    """The mean of an image's maps and the maps of its mirrored copy, which are mirrored back. Classes that a mirror
    exchanges, such as left arm and right arm, exchange their tokens. Raises UserError if one of them has more tokens
    than the other."""
    pairs = partners([*maps.words])
    for name, other in pairs.items():
        if len(maps.words[name]) != len(maps.words[other]):
            problem = f"mirrors photographs, in which {name!r} becomes {other!r}, a word of other tokens"
            raise UserError("capture.flip", problem, "leave it out")
    means: dict[str, dict[Grid, torch.Tensor]] = {"self": {}, "cross": {}}
    for (kind, grid, one), (_, _, other) in zip(maps.tensors(), mirrored.tensors(), strict=True):
        order = torch.arange(len(other), device=other.device).reshape(grid).flip(1).flatten()
        columns = order
        if kind == "cross":
            columns = torch.arange(other.shape[1], device=other.device)
            for name, partner in pairs.items():
                columns[list(maps.words[name])] = columns.new_tensor(mirrored.words[partner])
        means[kind][grid] = (one + other[order][:, columns]) / 2  # columns are positions or tokens
    return replace(maps, self_attention=means["self"], cross_attention=means["cross"])


@torch.no_grad()
def run_clean(model: Model, latents: torch.Tensor, prompts: Sequence[str], *, timestep: int) -> None:
    """Call the network once with latents (B, C, h, w) without noise, without guidance, as in DiffSeg. Returns nothing:
    hooks read the attention. prompts: one per image. timestep: the network's argument, although there is no noise."""
    model.denoise(latents, timestep, read_prompts(model, prompts, latents))
    model.rest()


def capture_clean(
    model: Model, latents: torch.Tensor, sentences: Sequence[Sentence] = (), *, timestep: int, kind: Kind
) -> list[AttentionMaps]:
    """One kind of attention of images without noise, as plain means over heads and layers: one AttentionMaps per image.
    Rows of self-attention sum to 1; in joint attention its softmax is over the picture's columns alone.

    latents, timestep: as in `run_clean`. sentences: one per image; by default the empty text. kind: self or cross.
    """
    sentences = sentences or [("", ())] * len(latents)
    texts = [text for text, _ in sentences]
    words = [locate_columns(model.readers, text, names) for text, names in sentences]
    plan = plan_capture(model.family, model.layers, PLAIN_MEANS, reads={kind: None}, own_softmax=("self",))
    with record_attention(model.network, plan) as recorder:
        run_clean(model, latents, texts, timestep=timestep)
    return recorder.maps(words, texts)


def _generator(seed: int, index: int) -> torch.Generator:
    """The generator of an image's noise. Every pair (seed, index) has independent noise, also neighbouring numbers."""
    state = np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def batches_by_shape(shapes: Sequence[Hashable], most: int) -> list[list[int]]:
    """Batches of pictures of one shape, as lists of their indices. Shapes are in the order of their first picture.
    shapes: the shape of each picture. most: the largest batch."""
    groups: dict[Hashable, list[int]] = {}
    for number, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(number)
    batches: list[list[int]] = []
    for group in groups.values():
        batches += [group[start : start + most] for start in range(0, len(group), most)]
    return batches
