"""Checks that every model family must pass, on its narrow twin, with the functions that commands call."""

from collections import Counter
from contextlib import ExitStack
from functools import partial
from math import isfinite
from unittest import mock

import numpy as np
import torch
from builders.command_line import runner
from builders.eager import everything_kept, means
from builders.items import noise_pixels, rows_of
from builders.plans import with_plan
from builders.reference_attention import book_of, file_of
from builders.refusals import user_error
from builders.same_maps import assert_same_maps
from PIL import Image

from recipes.studies.capture import capture_images
from seediff.attention.draw import check_columns, check_negative, check_steps, generate_batch
from seediff.attention.see_photos import read_prompts
from seediff.config.methods import CaptureConfig
from seediff.config.sizes import check_sides
from seediff.models.describe import check_known_classes
from seediff.models.families.inputs import DrawRequest
from seediff.models.hooks import named_inputs
from seediff.prompts.specs import SampleSpec
from seediff.prompts.tokens import locate_columns, read_prompt
from seediff.view import image_shape

SPECS = (
    SampleSpec(0, ("dog",), "a photo of a dog", 11),
    SampleSpec(1, ("cat", "pottedplant"), "a photo of a cat and a potted plant", 12),
    SampleSpec(2, ("bus",), "a photo of a bus", 13),
)

GUIDANCE = 3.0


def generate(model, specs=SPECS[:2], **options):
    defaults = {"steps": 2, "guidance_scale": GUIDANCE, "negative_prompt": "", "size": 64, "capture": CaptureConfig()}
    how = with_plan(model, defaults | options)
    check_all(model, specs, **how)
    return generate_batch(model, specs, **how)


def check_all(model, specs, *, size, plan, steps, guidance_scale, negative_prompt):
    """As a run checks before it draws."""
    classes = [name for spec in specs for name in spec.classes]
    check_known_classes(model.info.name, model.info.settings.classes, classes)
    check_sides(image_shape(model.sizes, size), "size", model.info.name, model.sizes.multiple, model.sizes.largest)
    model.info.check_drawing(guidance_scale, negative_prompt)
    check_columns(model.readers, [(spec.prompt, spec.classes) for spec in specs], plan)
    check_negative(model, negative_prompt, guidance_scale)
    check_steps(model, steps)


def least_steps(model):
    """PixArt's pipeline takes a single step for that of a distilled model."""
    return 2 if file_of(model.family) == "pixart" else 1


def request(model, specs=SPECS[:2], *, pixels=(64, 64), steps=2, guidance=GUIDANCE):
    """The arguments of diffusers' pipeline for images of these prompts."""
    noise = [torch.Generator().manual_seed(spec.seed) for spec in specs]
    drawing = DrawRequest([spec.prompt for spec in specs], "", *pixels, steps, guidance, noise)
    return model.family.pipeline_arguments(model.pipe, drawing)


def same_images(images, others):
    """Whether pictures of two copies of a model differ by at most 1: on some CPUs, rounding depends on where numbers
    are in memory.
    """
    return np.abs(np.stack(images).astype(int) - np.stack(others).astype(int)).max() <= 1


def same_weights(module, other):
    """Whether two parts of models have the same tensors, and both are in use or in training."""
    states = module.state_dict(), other.state_dict()
    same = states[0].keys() == states[1].keys() and module.training == other.training
    return same and all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def see(model, photos, **options):
    """Maps of photographs with the prompts of SPECS."""
    specs = SPECS[: len(photos)]
    told = [spec.prompt for spec in specs], [spec.classes for spec in specs]
    defaults = {
        "timesteps": (400,),
        "seed": 1,
        "capture": CaptureConfig(),
        "indices": [spec.index for spec in specs],
    }
    return capture_images(model, photos, *told, **with_plan(model, defaults | options))


def calls_of(model, run):
    """The inputs of the network, by their names, in each call while `run` runs."""
    calls = []
    hook = model.network.register_forward_pre_hook(
        lambda network, args, kwargs: calls.append(named_inputs(network, args, kwargs)), with_kwargs=True
    )
    run()
    hook.remove()
    return calls


@torch.no_grad()
def denoised(model, latents, *prompts):
    """A prediction as a model's family gives it, what its network was given, and what it returned."""
    condition, found = read_prompts(model, prompts, latents), []
    (given,) = calls_of(model, lambda: found.append(model.denoise(latents, 100, condition)))
    return found[0], given, model.network(**given)[0]


def queries_of(model, run):
    """Name of a module of the network → the queries of its last product of attention while `run` runs."""
    running, queries, own = [], {}, torch.nn.functional.scaled_dot_product_attention

    def product(query, *args, **more):
        queries[running[-1]] = query
        return own(query, *args, **more)

    def end(*_):
        running.pop()

    with ExitStack() as stack:
        for name, module in model.network.named_modules():
            begin = partial(lambda name, *_: running.append(name), name)
            stack.callback(module.register_forward_pre_hook(begin).remove)
            stack.callback(module.register_forward_hook(end).remove)
        stack.enter_context(mock.patch.object(torch.nn.functional, own.__name__, product))
        run()
    return queries


def plain(model, steps=2, **arguments):
    """Pictures drawn by diffusers alone."""
    result = model.pipe(
        prompt=[spec.prompt for spec in SPECS[:2]],
        height=64,
        width=64,
        num_inference_steps=steps,
        generator=[torch.Generator().manual_seed(spec.seed) for spec in SPECS[:2]],
        output_type="np",
        **arguments,
    )
    return np.stack([shown(image) for image in result.images])


def shown(image):
    """A picture of a pipeline's, (H, W, 3) in [0, 1] or with opacity as a fourth channel, as it is given out: (H, W, 3)
    uint8, on white.
    """
    whole = Image.fromarray((image * 255).round().astype(np.uint8)).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB"))


def largest_difference(*given, **options):
    return by_the_book(*given, **options)[0]


def by_the_book(model, photos=(), *, capture=CaptureConfig(), **options):  # noqa: B008
    """The largest difference of maps, captured while two images are drawn at once, from the reference, and the images;
    or of maps of given photographs, at most as many as SPECS. Every layer must have been seen.
    """
    prompts = [spec.prompt for spec in SPECS[: len(photos) or 2]]
    book = book_of(model)
    layers = dict.fromkeys(model.family.layers(model.network), book.attention)
    with everything_kept(model.network, layers) as kept:
        if len(photos):
            images, maps = photos, see(model, photos, capture=capture)
        else:
            images, maps = generate(model, capture=capture, **options)
    times = Counter(seen.name for seen in kept)
    assert set(times) == set(layers)
    several = times[kept[0].name] > len(model.pipe.scheduler.timesteps) or len(kept[0].probabilities) > len(prompts)
    guided = not len(photos) and several
    if guided and book.calls == 2:  # the call with the prompt comes first
        turns = Counter[str]()
        kept = [seen for seen in kept if (turns.update([seen.name]) or turns[seen.name]) % 2]
    height, width = maps[0].lattice
    together = prompts + [options.get("negative_prompt", "")] * (guided and book.calls == 1)
    columns, text = book.columns(model, height * width, together) if book.columns else (slice(0, 0), slice(0, 0))
    shared = {"normalize": capture.normalize, "share": capture.text_share or "row"}
    expected = means(kept, len(prompts), columns, text, first=book.first, **shared)
    differences = [0.0]
    for image, of in enumerate(maps):
        grids = {kind: getattr(of, f"{kind}_attention") for kind in ("self", "cross")}
        captured = {(kind, h * w): tensor for kind, found in grids.items() for (h, w), tensor in found.items()}
        assert set(captured) == set(expected)
        for where, tensor in expected.items():
            assert captured[where].shape == tensor[image].shape
            differences.append(float((captured[where].double() - tensor[image]).abs().max()))
    assert all(map(isfinite, differences))  # Python's max may ignore NaN
    print(f"\n{model.family.title}: {max(differences):.1e}")  # with pytest -s: the figures of docs/models.md
    return max(differences), images


def check_same_numbers(model, exact):
    """That pictures are those without capture, and maps those of a model whose weights are the same numbers in
    float32."""
    (images, maps), (_, others) = generate(model), generate(exact)
    for one, other in zip(maps, others, strict=True):
        assert_same_maps(one, other)
    assert np.array_equal(np.stack(images), plain(model, **book_of(model).plain(GUIDANCE, "")))


def check_refused(model, message, **options):
    """Check that drawing with these options is refused in one line that matches `message`."""
    with user_error(message):
        generate(model, **options)


def check_words(readers, states_of):
    """Words have the columns that change with them, behind padding and white space, in templates, and at the end of the
    longest prompt, which fills all columns. states_of: prompt → (T, C), a row for each column that there is."""
    readers = [reader for reader in readers if reader.first is not None]
    assert readers
    for reader in readers:
        room = reader.limit - len(read_prompt(reader, "a potted plant cat").spans)
        longest = f"a potted plant{' a' * room} {{}}"
        for prompt in (" A photo of a {} and a potted plant", longest):
            one, other = (states_of(prompt.format(word)) for word in ("cat", "bus"))
            columns = slice(max(reader.first, 0), reader.first + reader.limit)
            changes = (one - other).flatten(1).norm(dim=1)[columns]
            assert changes.any(), f"{reader.name}: the word of '{prompt}' is not read"
            # An encoder that sees what comes after a word changes the columns before it, too, but less.
            changed = columns.start + (changes > 0.4 * changes.max()).nonzero().flatten()
            found = locate_columns([reader], prompt.format("cat"), ("cat", "pottedplant"))
            assert found["cat"][0] == changed[0], f"{reader.name}: {prompt}"
            assert changed[0] not in found["pottedplant"]
        end = reader.first + reader.limit + reader.tail
        is_followed = end in {other.first for other in readers}
        assert is_followed or not one[end:].any(), f"{reader.name} could read more"  # SD3 without T5 has zeros there
        assert end <= len(one)
        with user_error("would be cut off: '.*cat'"):
            locate_columns([reader], longest.format("a cat"), ("cat",))


def run_commands(folder, out):
    """Run `generate` and `mask` with a model in a local folder."""
    from seediff.cli.run_commands import generate, mask

    run = runner(generate, mask)
    common = ("--model", folder, "--device", "cpu", "--size", 64)
    run(f"generate --classes dog,cat --per-class 1 --steps 2 --out {out}/set --quiet", *common)
    rows = rows_of(out / "set")
    assert [row["classes"] for row in rows] == [["dog"], ["cat"]]
    assert all(np.asarray(Image.open(out / "set" / row["mask_file_name"])).shape == (64, 64) for row in rows)
    photo = out / "photo.png"
    Image.fromarray(noise_pixels(48, 64)).save(photo)
    line = f"mask {photo} --classes dog,cat --presence 0 --timesteps 100,400 --out {out}/masked --quiet"
    run(line, *common)
    (row,) = rows_of(out / "masked")
    assert row["classes"] == list(row["presence"]) == ["dog", "cat"]
    assert np.asarray(Image.open(out / "masked" / row["mask_file_name"])).shape == (48, 64)
