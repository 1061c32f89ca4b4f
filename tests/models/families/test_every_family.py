from functools import partial
from importlib import import_module
from inspect import signature
from operator import itemgetter
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from builders.configured import configured
from builders.families import (
    SPECS,
    by_the_book,
    calls_of,
    check_refused,
    check_words,
    denoised,
    generate,
    largest_difference,
    least_steps,
    plain,
    queries_of,
    request,
    run_commands,
    see,
)
from builders.items import noise_pixels
from builders.plans import capturing, expected_of, layer_maps
from builders.reference_attention import BOOKS, book_of, sweep
from builders.refusals import user_error

from recipes.families import PAGE as TABLE_PAGE
from recipes.families import row
from seediff.attention.see_photos import encode_images, read_prompts, run_noised
from seediff.attention.which_rows import STATES
from seediff.config.methods import CaptureConfig
from seediff.config.runs import GenerateConfig
from seediff.masks.presence import denoising_errors
from seediff.models.families import families
from seediff.models.families.qwen_image import QWEN_IMAGE_21
from seediff.models.layers import KINDS, block_names
from seediff.models.registry import load_model

PAGE = TABLE_PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=sweep(sorted(BOOKS)))
def folder(request, twin):
    return twin(request.param)


VARIANTS = [(family, name) for family, book in BOOKS.items() for name in book.variants]


@pytest.fixture(scope="module", params=sweep(VARIANTS, itemgetter(0)), ids=[name for _, name in VARIANTS])
def variant(request, tmp_path_factory):
    family, name = request.param
    return load_model(str(BOOKS[family].variants[name](tmp_path_factory.mktemp("variants") / name)), device="cpu")


def pixels(model):
    """(height, width) of 3:2, as small as the family allows and no side below 64."""
    unit = model.sizes.multiple
    unit *= -(-32 // unit)
    return 2 * unit, 3 * unit


def size(model):
    height, width = pixels(model)
    return f"{width}x{height}"


def photos(model, count=2):
    return list(noise_pixels(count, *pixels(model)))


def check_grids(model, maps):
    """Every map is of the picture's own shape, none of the other way round."""
    height, width = (side // model.sizes.position for side in pixels(model))
    levels = sorted({layer.level for layer in model.layers.values()})
    for one in maps:
        assert one.lattice == (height, width)
        grids = [(-(-height // level), -(-width // level)) for level in levels]
        assert list(one.cross_attention) == grids
        assert list(one.self_attention) == grids


NEGATIVE = "a cat" + " and a bus" * 20
"""Longer than the prompts: where both fill up a batch, it decides how far."""


def check_drawing(model, guidance, capture, steps):
    """Maps are those by the book, and pictures those without capture."""
    negative = NEGATIVE if guidance and model.family.reads_negative(model.pipe, guidance) else ""
    how = {"guidance_scale": guidance, "negative_prompt": negative, "steps": steps}
    difference, images = by_the_book(model, capture=capture, **how)
    assert difference < 1e-5
    expected = plain(model, steps, **book_of(model).plain(guidance, negative))
    assert np.array_equal(np.stack(images), expected)


def test_maps_are_those_by_the_book(model):
    capture = CaptureConfig(text_share="text") if book_of(model).columns else CaptureConfig()
    check_drawing(model, 3.0, capture, least_steps(model))


@pytest.mark.slow
def test_maps_of_a_variant_are_those_by_the_book(variant):
    weak = variant.info.defaults().get("guidance_scale") == 0
    check_drawing(variant, 0.0 if weak else 3.0, CaptureConfig(), 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "name", "steps"), [("krea2", "krea2-tdm", 8), ("flux2_klein", "klein-4b", 4), ("flux", "schnell", 4)]
)
def test_a_folder_says_that_it_is_distilled(family, name, steps, tmp_path):
    """Whatever it is called."""
    folder = BOOKS[family].variants[name](tmp_path / "own")
    config = configured(GenerateConfig, {"classes": ("dog",), "model": str(folder)})
    assert (config.steps, config.guidance_scale) == (steps, 0.0)
    check_refused(load_model(str(folder), device="cpu"), r"^guidance_scale: 3\.0: model '.*' draws without guidance")


def test_all_attention_that_sees_the_picture_is_captured(model):
    """And no other, as of the text alone: its queries are the same for two pictures."""
    with torch.no_grad():
        shown = [encode_images(model, [photo]) for photo in photos(model)]
        told = read_prompts(model, ["a dog"], shown[0])
        one, other = (queries_of(model, partial(model.denoise, latents, 100, told)) for latents in shown)
    # Queries change by more than a hundredth, or by what the CPU rounds.
    seeing = {name for name, query in one.items() if (query - other[name]).norm() > 1e-4 * query.norm()}
    assert seeing == {*model.layers}


@pytest.mark.slow
def test_maps_of_a_seen_rectangle_are_those_by_the_book(model):
    assert largest_difference(model, photos(model)) < 1e-5


def test_latents_are_those_that_the_pipeline_decodes(model):
    """Its own decoding, undone: where the autoencoder gives what it is asked to decode, the network is given what the
    scheduler's last step gave.
    """
    pipe, vae, last = model.pipe, model.pipe.vae, []
    step = pipe.scheduler.step
    call = request(model, SPECS[:1], pixels=pixels(model), guidance=0.0, steps=least_steps(model))
    with (
        mock.patch.object(pipe.scheduler, "step", lambda *a, **k: (last.append(step(*a, **k)), last[-1])[1]),
        mock.patch.object(vae, "decode", mock.Mock(wraps=vae.decode)) as decode,
    ):
        pipe(**call)
    (asked,) = decode.call_args.args
    encoded = SimpleNamespace(latent=asked, latent_dist=SimpleNamespace(mean=asked))
    with mock.patch.object(vae, "encode", return_value=encoded), torch.no_grad():
        latents = encode_images(model, photos(model, 1))
        condition = read_prompts(model, ["a dog"], latents)
        (told,) = calls_of(model, lambda: model.denoise(latents, 100, condition))
    (given,) = (told[name] for name in ("sample", "hidden_states", "x") if name in told)
    (level,) = (told[name] for name in ("timestep", "t") if name in told)
    assert torch.as_tensor(level).unique().tolist() == pytest.approx([book_of(model).level])
    expected = last[-1][0].flatten()
    torch.testing.assert_close(torch.as_tensor(given[0]).flatten(), expected, atol=1e-4, rtol=1e-4)


def test_predictions_are_unpacked_as_the_pipeline_unpacks(model):
    pipe = model.pipe
    if not hasattr(pipe, "_unpack_latents"):
        pytest.skip("latents are not packed, or test_flux2.py says how")
    found, given, predicted = denoised(model, encode_images(model, photos(model)), "a dog", "a cat")
    positions = given["hidden_states"].shape[1]  # Qwen-Image 2.1 returns the text's rows before them
    factor = [pipe.vae_scale_factor] * ("vae_scale_factor" in signature(pipe._unpack_latents).parameters)
    unpacked = pipe._unpack_latents(predicted[:, -positions:], *pixels(model), *factor)
    torch.testing.assert_close(found, unpacked.reshape(found.shape))


@pytest.mark.slow
def test_a_prompt_does_not_depend_on_those_beside_it(model):
    """`mask` compares prompts a few at a time."""
    latents = encode_images(model, photos(model, 1))[0]
    prompts = [f"a {name}" for name in ("dog", "cat", "bus", "car", "cow")]
    if model.family is QWEN_IMAGE_21:  # a longer prompt moves the pictures of all
        prompts = prompts[:1] * 5
    together = denoising_errors(model, latents, prompts, timesteps=(300,))
    alone = [denoising_errors(model, latents, [prompt], timesteps=(300,)) for prompt in prompts]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_rectangle_does_not_depend_on_the_batch(model):
    """Image and maps have its shape; the other prompt of the batch is longer."""
    how = {"size": size(model), "steps": least_steps(model)}
    (image,), (drawn,) = generate(model, SPECS[:1], **how)
    (seen,) = see(model, photos(model, 1))
    check_grids(model, [drawn, seen])
    assert image.shape == (*pixels(model), 3)
    if book_of(model).alone:
        (first, _), (drawn_first, _) = generate(model, **how)
        assert np.abs(first.astype(int) - image).max() <= 1
        for alone, together in ((drawn, drawn_first), (seen, see(model, photos(model))[0])):
            for (*_, one), (*_, other) in zip(alone.tensors(), together.tensors(), strict=True):
                torch.testing.assert_close(one, other[:, : one.shape[1]], atol=1e-4, rtol=0)  # the rest fills up
            assert alone.words == together.words


def test_what_is_expected_is_what_is_held(model):
    """The memory that --dry-run says: of all maps but the text's of prompts that are not padded."""
    (maps,) = see(model, photos(model, 1))
    expected = expected_of(model, size=maps.lattice)
    own = expected_of(model, reads={"self": None}, size=maps.lattice)
    assert own.map_bytes == sum(4 * one.numel() for one in maps.self_attention.values())
    held = own.map_bytes + sum(4 * one.numel() for one in maps.cross_attention.values())
    assert held <= expected.map_bytes
    assert held == expected.map_bytes or not book_of(model).padded


def test_rows_of_a_map_are_where_the_image_is(model):
    """What changes in one place of the latent changes the queries there, and so the text's part of that row most, in
    the first layer.
    """
    height, width = (side // model.pipe.vae_scale_factor for side in pixels(model))
    channels = model.family.latents(model.pipe, torch.zeros(1, 3, *pixels(model))).shape[1]
    condition = read_prompts(model, [SPECS[0].prompt], torch.zeros(height, width))
    y, x = height // 4 // 2 * 2, 3 * width // 4 // 2 * 2
    found = []
    for value in (0, 9):
        latents = torch.zeros(1, channels, height, width)
        latents[0, :, y : y + 2, x : x + 2] = value
        capture = CaptureConfig(normalize=False, text_share="text")
        with torch.no_grad(), capturing(model.network, capture, per_layer=True) as recorder:
            model.denoise(latents, 100, condition)
        grid, layers = next(iter(layer_maps(recorder, "cross", 0).items()))
        found.append(next(iter(layers.values())))
    changed = (found[1] - found[0]).abs().sum(1).unflatten(0, grid)
    row, column = divmod(int(changed.argmax()), grid[1])
    assert abs(row + 0.5 - (y + 1) * grid[0] / height) < 1.5
    assert abs(column + 0.5 - (x + 1) * grid[1] / width) < 1.5


def check_columns(model):
    def states(prompt):
        inputs = model.network_inputs([prompt], 64, 64)
        encoded = next(inputs[name] for name in STATES if inputs.get(name) is not None)[0]
        return torch.cat([encoded.new_zeros(book_of(model).learnt, *encoded.shape[1:]), encoded])

    with torch.no_grad():
        check_words(model.readers, states)


def test_words_have_the_columns_that_change_with_them(model):
    check_columns(model)


@pytest.mark.slow
def test_words_of_a_variant_have_the_columns_that_change_with_them(variant):
    check_columns(variant)


def test_a_negative_prompt_without_effect_is_refused(model):
    if not model.family.reads_negative(model.pipe, 3.0):
        check_refused(model, r"^negative_prompt: 'bad': model '.*' reads none; ", negative_prompt="bad")


def test_a_negative_prompt_that_is_a_prompt_is_refused(model):
    if model.family.reads_negative(model.pipe, 3.0):
        said = "which of them draw the images is unknown; give another negative prompt than the prompt"
        check_refused(model, said, specs=SPECS[:1], negative_prompt=SPECS[0].prompt)


def test_sizes_out_of_rule(model):
    """The nearest size that works is named, and it works."""
    unit, largest = model.sizes.multiple, model.sizes.largest
    size, near = f"{3 * unit + 1}x{2 * unit}", f"{3 * unit}x{2 * unit}"
    with user_error(rf"^size: {size}: sides must be multiples of {unit} for model '.*', for example {near}$"):
        generate(model, size=size)
    if largest is not None:
        for size in (f"{largest + unit}x{unit}", f"{unit}x{largest + unit}"):
            with user_error(rf"^size: {size} must be at most {largest} for model "):
                generate(model, size=size)


@pytest.mark.parametrize("folder", ["pixart"], indirect=True)
def test_the_commands(folder, tmp_path):
    run_commands(folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", families(), ids=[family.title for family in families()])
def test_the_page_has_its_row(family):
    assert row(family) in PAGE.splitlines(), f"no row for {family.title}: python recipes/families.py writes it"
    diffusers = import_module("diffusers")
    assert all(hasattr(diffusers, name) for name in (*family.pipelines, family.class_name))


def test_blocks_are_chosen_by_their_numbers(model):
    """A mean over some blocks is that of their layers' own maps; a UNet has sides instead."""
    family = model.family
    if family.network_part == "unet":
        with user_error(r"^capture\.layers: 0-1: blocks are a transformer's, and this model has a UNet"):
            see(model, photos(model, 1), capture=CaptureConfig(layers="0-1"))
        return
    names, count = list(model.layers), len(block_names(model.layers))
    last = family.names_in(names, f"{count - 1}")
    assert family.names_in(names, f"0-{count - 1}") == names
    assert family.names_in(names, "up") == names
    assert 0 < len(last) < len(names)
    seen = photos(model, 1)
    (some,) = see(model, seen, capture=CaptureConfig(layers=f"0,{count - 1}"))
    own = see_layers(model, seen)
    wanted = family.names_in(names, f"0,{count - 1}")
    for kind, maps in (("self", some.self_attention), ("cross", some.cross_attention)):
        for grid, found in maps.items():
            means = [layer for name, layer in own[kind][grid].items() if name in wanted]
            torch.testing.assert_close(found, torch.stack(means).mean(0), atol=1e-6, rtol=1e-5)
    with user_error(rf"^capture\.layers: {count}: the model has blocks 0 to {count - 1}$"):
        see(model, seen, capture=CaptureConfig(layers=f"{count}"))


def see_layers(model, seen):
    """kind → grid → layer name → map, as `see` looks at one photograph."""
    with capturing(model.network, per_layer=True) as recorder, torch.no_grad():
        run_noised(model, encode_images(model, seen), [SPECS[0].prompt], timesteps=(400,), seed=1, indices=[0])
    return {kind: layer_maps(recorder, kind, 0) for kind in KINDS}
