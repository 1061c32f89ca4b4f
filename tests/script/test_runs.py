import copy
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders.same_maps import assert_same_maps
from PIL import Image
from refusals import user_error

import seediff
from seediff.errors import Notice
from seediff.script.pictures import returned_images


@pytest.fixture
def pipe(sd1_model):
    """Its scheduler is its own; the other parts are shared, and no test may change them."""
    pipe = copy.copy(sd1_model.pipe)
    pipe.scheduler = copy.deepcopy(pipe.scheduler)
    return pipe


def draw(pipe, prompt="a dog and a cat", seed=0, **more):
    noise = torch.Generator().manual_seed(seed)
    given = {"prompt": prompt, "height": 64, "width": 64, "num_inference_steps": 1, "generator": noise}
    return pipe(**{**given, "output_type": "np", **more}).images


def alone(pipe, *args, **more):
    with seediff.capture(pipe) as seen:
        draw(pipe, *args, **more)
    return seen.maps


def test_each_call_has_its_own_result(pipe):
    with seediff.capture(pipe, prompt=None) as seen:
        draw(pipe)
        assert seen.prompts == ["a dog and a cat"]  # asked inside, too
        draw(pipe, ["a bus", "a cat"], height=128, num_inference_steps=1)
    assert seen.image_numbers == [range(1), range(1, 3)]
    assert seen.prompts == ["a dog and a cat", "a bus", "a cat"]
    assert [maps.lattice for maps in seen.maps] == [(8, 8), (16, 8), (16, 8)]
    assert [image.shape for image in seen.images] == [(64, 64, 3), (128, 64, 3), (128, 64, 3)]
    assert_same_maps(seen.maps[0], alone(pipe)[0], atol=0)
    assert seen.heatmap("cat", image=2).shape == (128, 64)
    assert [seen.heatmaps(*words, image=2).width for words in ((), ("cat", "a"))] == [2 * 166 + 6, 3 * 166 + 6]
    with user_error(r"^image: 3: 3 were drawn in the block"):
        seen.heatmap("cat", image=3)


@pytest.mark.parametrize("first", [0, 1])
def test_blocks_of_one_class_overlap(pipe, first):
    """Not nested, as in threads: each has its own pictures, and the class is as before."""
    pipes = pipe, copy.deepcopy(pipe)
    expected, method = alone(pipe)[0], type(pipe).__call__
    blocks = [seediff.capture(one) for one in pipes]
    found = [block.__enter__() for block in blocks]
    draw(pipes[first])
    blocks[first].__exit__(None, None, None)
    draw(pipes[1 - first])
    blocks[1 - first].__exit__(None, None, None)
    for seen in found:
        (maps,) = seen.maps
        assert_same_maps(maps, expected)
    assert type(pipe).__call__ is method


def test_calls_of_another_pipeline_are_told(pipe):
    """As in a hires fix: one network, two pipelines."""
    from diffusers import StableDiffusionImg2ImgPipeline

    other = StableDiffusionImg2ImgPipeline.from_pipe(pipe)
    said = "the network also ran 1 time outside of the captured pipeline: capture the pipeline that runs it"
    block = seediff.capture(pipe)
    seen, picture = block.__enter__(), draw(pipe)
    other("a dog", picture, strength=1.0, num_inference_steps=1)
    with pytest.warns(Notice, match=said):
        block.__exit__(None, None, None)
    assert len(seen.images) == 1
    with user_error(f"^image: 1: 1 were drawn in the block, numbered from 0; {said}$"):
        seen.heatmap("dog", image=1)
    with user_error("^clip: 0: 0 were drawn in the block"):
        seen.clip_masks("dog")


def test_defaults_of_torch_change_nothing(pipe):
    """Of the device and of numbers."""
    ways = (
        lambda seen: seen.masks("dog").label_map,
        lambda seen: seen.segments(num_points=4).label_map,
        lambda seen: seen.segments(method="kmeans", k=3).label_map,
    )
    with seediff.capture(pipe) as seen:
        draw(pipe)
    expected = [way(seen) for way in ways]
    torch.set_default_dtype(torch.float64)
    try:
        with seediff.capture(pipe) as again:
            draw(pipe)
        torch.set_default_device("meta")
        found = [way(again) for way in ways]
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert all(map(np.array_equal, found, expected))


def test_embeddings_alone(pipe):
    given, unwanted = pipe.encode_prompt("a dog", "cpu", 1, True)
    more = {"prompt_embeds": given, "negative_prompt_embeds": unwanted}
    with seediff.capture(pipe) as seen:
        draw(pipe, None, **more)
    expected = alone(pipe, "a dog")[0]
    assert_same_maps(seen.maps[0], expected, atol=0)
    assert seen.prompts == [""]
    assert seen.masks((2, 3), pamr=False).classes == ("columns 2, 3",)
    with user_error(r"^'dog': the network was given no prompt, only embeddings"):
        seen.heatmap("dog")
    with seediff.capture(pipe, prompt="a dog") as seen:
        draw(pipe, None, **more)
    assert seen.heatmap("dog").values.shape == (64, 64)
    assert seen.maps[0].words == expected.words


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (np.full((2, 4, 6, 3), 0.5, np.float32), 2),
        (torch.full((1, 3, 4, 6), 0.5, dtype=torch.bfloat16), 1),
        (SimpleNamespace(images=[Image.new("RGB", (6, 4), (128, 128, 128))]), 1),
        (Image.new("L", (6, 4), 128), 1),
        (torch.zeros(1, 4, 4, 6), 0),
        (None, 0),
    ],
)
def test_images_that_a_pipeline_returns(given, count):
    images = returned_images(given)
    assert len(images) == count
    for image in images:
        assert np.array_equal(image, np.full((4, 6, 3), 128, np.uint8))


def test_the_network_alone(pipe):
    states = pipe.encode_prompt("a dog", "cpu", 1, False)[0]
    with seediff.capture(pipe.unet, prompt="a dog", states=states) as seen:
        draw(pipe, "a dog")
        with pytest.warns(Notice, match="several sizes"):
            draw(pipe, "a dog", height=128)
    with user_error(r"several sizes, .*in one run; use one `with` block for each"):
        seen.heatmap((2,))


class Stopped(Exception):
    pass


@pytest.mark.slow
def test_nothing_is_left_after_an_error_in_the_middle(pipe):
    def everything():
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in pipe.unet.modules()]
        return vars(pipe).copy(), vars(pipe.image_processor).copy(), hooks

    plain, before = draw(pipe), everything()
    encode = pipe.encode_prompt

    def stop(*_):
        raise Stopped

    with pytest.raises(Stopped), seediff.capture(pipe) as seen:
        draw(pipe, callback_on_step_end=stop)
    assert everything() == before
    assert pipe.encode_prompt == encode
    assert np.array_equal(draw(pipe), plain)
    assert seen.image_numbers == []  # it returned no picture
    with seediff.capture(pipe) as seen:
        for how in ({"prompt": "a bus", "callback_on_step_end": stop}, {}, {"callback_on_step_end": stop}):
            with suppress(Stopped):
                draw(pipe, **how)
    assert seen.prompts == ["a dog and a cat"]
    assert_same_maps(seen.maps[0], alone(pipe)[0], atol=0)


@pytest.mark.slow
def test_offloading(sd1_pipe):
    """As `enable_sequential_cpu_offload` has it on a GPU: weights are on meta until a layer runs."""
    accelerate = pytest.importorskip("accelerate")
    plain, expected = draw(sd1_pipe), alone(sd1_pipe)[0]
    for part in (sd1_pipe.text_encoder, sd1_pipe.unet, sd1_pipe.vae):
        accelerate.cpu_offload(part, torch.device("cpu"))
    assert next(sd1_pipe.unet.parameters()).is_meta
    with seediff.capture(sd1_pipe) as seen:
        assert np.array_equal(draw(sd1_pipe), plain)
    assert_same_maps(seen.maps[0], expected, atol=0)
    assert np.array_equal(draw(sd1_pipe), plain)


def test_latents_instead_of_images(pipe):
    with seediff.capture(pipe) as seen:
        draw(pipe, output_type="latent")
    assert seen.images == [None]
    assert seen.masks("dog", pamr=False).label_map.shape == (64, 64)
    assert seen.masks("dog", pixels=np.zeros((64, 64, 3), np.uint8)).label_map.shape == (64, 64)
    with user_error(r"^pixels: masks follow its edges"):
        seen.masks("dog")
    assert seen.segments(method="diffseg", num_points=4, refine=True, edge_rounds=0).label_map.shape == (64, 64)


@pytest.mark.parametrize(("keep", "kinds"), [("ca", {"cross"}), ("seediff", {"self", "cross"}), ("segments", {"self"})])
def test_only_what_is_kept_is_held(pipe, keep, kinds):
    """As much as was said before."""
    with seediff.capture(pipe, keep=keep) as seen:
        expected = seen.expected(64, 64)
        draw(pipe)
    (maps,) = seen.maps
    there = {"self": maps.self_attention, "cross": maps.cross_attention}
    assert {kind for kind, held in there.items() if held} == kinds
    assert expected.map_bytes == sum(4 * tensor.numel() for held in there.values() for tensor in held.values())
    if "cross" in kinds:
        assert seen.heatmap("dog").shape == (64, 64)
        assert seen.masks("dog").label_map.shape == (64, 64)
        if keep == "ca":
            for ask in (seen.segments, lambda: seen.masks("dog", method="seediff")):
                with user_error(r"self-attention.* was(.*)captured.*; use maps that have it"):
                    ask()
    else:
        with user_error("no attention to text was captured"):
            seen.heatmap((1,))


@pytest.mark.slow
def test_second_prompts(loaded):
    """Each tokenizer reads the prompt that is its own."""
    pipe = loaded("xl").pipe
    with seediff.capture(pipe) as seen:
        draw(pipe, "a dog", prompt_2="a photo of a cat")
    assert seen.maps[0].words == {"dog": (2,), "cat": (5,)}
    pipe = loaded("flux").pipe
    with seediff.capture(pipe) as seen:
        draw(pipe, "a dog", prompt_2="a cat")
    assert seen.heatmap("cat").shape == (64, 64)
    with user_error("'dog' is not in the prompt 'a cat' as the model reads it; its words: cat$"):
        seen.heatmap("dog")  # CLIP's state is pooled: its tokens are no columns


@pytest.mark.slow
def test_an_error_of_capture_itself_ends_no_drawing(pipe, monkeypatch):
    """While it draws, and when its maps are made. The next picture has maps again."""
    how = {"num_inference_steps": 2}
    plain, expected = draw(pipe, **how), alone(pipe)[0]
    for broken in (
        "attention.running_maps.add_probabilities",
        "attention.which_rows._are_equal",
        "script.recording.frame_weights",
    ):
        with seediff.capture(pipe) as seen:
            with monkeypatch.context() as patch:
                patch.setattr(f"seediff.{broken}", lambda *_, **__: 1 / 0)
                with pytest.warns(Notice) as told:
                    images = draw(pipe, **how)
            assert np.array_equal(images, plain)
            draw(pipe)
        assert len(told) == 1
        assert_same_maps(seen._drawn(1).maps_with(seen.words[1]), expected, atol=0)
        with user_error(r"^(the network's call|the pipeline|\S+attn1): capture failed \(division by zero\)$"):
            seen.heatmap("dog")
