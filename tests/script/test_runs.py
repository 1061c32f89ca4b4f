import copy
import inspect
import pickle
import threading
import warnings
from contextlib import suppress
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from builders.same_maps import assert_same_maps
from PIL import Image
from refusals import user_error

import seediff
from seediff.errors import Notice
from seediff.script.listener import wrap
from seediff.script.run import returned_images


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
    assert [maps.latent_size for maps in seen.maps] == [(8, 8), (16, 8), (16, 8)]
    assert [image.shape for image in seen.images] == [(64, 64, 3), (128, 64, 3), (128, 64, 3)]
    assert_same_maps(seen.maps[0], alone(pipe)[0], atol=0)
    assert seen.heatmap("cat", image=2).shape == (128, 64)
    assert [seen.heatmaps(*words, image=2).width for words in ((), ("cat", "a"))] == [2 * 166 + 6, 3 * 166 + 6]
    with user_error(r"^image: 3: 3 were drawn in the block"):
        seen.heatmap("cat", image=3)


@pytest.mark.parametrize("prompt", ["a dog and a cat", ""])
def test_guidance_that_a_callback_ends(pipe, prompt):
    """From then on the batch has the prompt alone."""

    def stop(pipe, step, _level, tensors):
        if step == 1:
            pipe._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
        return tensors

    more = {"callback_on_step_end": stop, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    more["num_inference_steps"] = 4
    plain = draw(pipe, prompt, **more)
    with seediff.capture(pipe) as seen:
        assert np.array_equal(draw(pipe, prompt, **more), plain)
    assert len(seen.maps) == 1
    assert seen._runs()[0].steps == 5  # one more than steps, as this scheduler has it


def test_embeddings_alone(pipe):
    given, unwanted = pipe.encode_prompt("a dog", "cpu", 1, True)
    more = {"prompt_embeds": given, "negative_prompt_embeds": unwanted}
    with seediff.capture(pipe) as seen:
        draw(pipe, None, **more)
    expected = alone(pipe, "a dog")[0]
    assert_same_maps(seen.maps[0], expected, atol=0)
    assert seen.prompts == [""]
    assert seen.masks((2, 3), pamr=False).classes == ("columns 2, 3",)
    with user_error(r"^'dog': the pipeline was given no prompt, only embeddings"):
        seen.heatmap("dog")
    with seediff.capture(pipe, prompt="a dog") as seen:
        draw(pipe, None, **more)
    assert seen.heatmap("dog").values.shape == (64, 64)
    assert seen.maps[0].words == expected.words


def test_embeddings_of_several_chunks(pipe, loaded):
    """As of BREAK, compel's `.and()` and long prompts: each chunk has its own columns."""
    parts = "a dog on grass", "a cat on a sofa"
    given, unwanted = (
        torch.cat([pipe.encode_prompt(text, "cpu", 1, False)[0] for text in texts], 1) for texts in (parts, ("", ""))
    )
    for text, found in (
        (" BREAK ".join(parts), (77 + 2,)),
        (", ".join(parts), None),  # where they divide is not known
        ("a dog on grass BREAK BREAK a cat", None),
        (f"{'very ' * 80}good BREAK a cat", None),  # the first part has two chunks itself
    ):
        with seediff.capture(pipe, prompt=text) as seen:
            draw(pipe, None, prompt_embeds=given, negative_prompt_embeds=unwanted)
        assert seen.maps[0].words.get("cat") == found
        if found:
            assert np.array_equal(seen.heatmap("cat"), seen.heatmap(found))
        else:
            with user_error(r"given 154 columns, and the prompt '.*' does not say where they divide"):
                seen.heatmap("cat")
    flux = loaded("flux").pipe
    given, pooled, _ = flux.encode_prompt("a dog", None)
    with seediff.capture(flux) as seen:
        draw(flux, "a cat")
    (column,) = seen.maps[0].words["cat"]
    with seediff.capture(flux, prompt="a dog BREAK a cat") as seen:
        draw(flux, None, prompt_embeds=given.repeat(1, 2, 1), pooled_prompt_embeds=pooled)
    assert seen.maps[0].words["cat"] == (512 + column,)


def loop(pipe, states, seed=0, levels=(900, 500, 500, 100)):
    """A picture in a loop of one's own."""
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for level in levels:
            pipe.unet(noise.expand(len(states), -1, -1, -1), level, encoder_hidden_states=states)


def test_a_loop_of_ones_own(pipe):
    """Refused where the pipeline is captured, in words that say how it can be."""
    way = r"for a loop of your own, the network, in one `with` block for each picture: capture\(pipe\.unet, prompt="
    said = rf"^the network ran outside of the captured pipeline's calls; .*{way}"
    with seediff.capture(pipe):
        states = torch.cat(pipe.encode_prompt("a dog", "cpu", 1, True)[::-1])
        with user_error(said):
            loop(pipe, states)
    with seediff.capture(pipe) as seen:
        loop(pipe, states)
        draw(pipe, "a bus")
    assert seen.prompts == ["a bus"]
    with user_error(rf"^image: 1: 1 was drawn in the block.*{way}"):
        seen.heatmap("dog", image=1)
    with seediff.capture(pipe.unet, prompt="a dog", tokenizer=pipe.tokenizer, states=states[1]) as seen:
        loop(pipe, states)
    assert (seen.prompts, seen._runs()[0].steps) == (["a dog"], 4)
    assert seen.heatmap("dog").shape == (8, 8)


def test_a_look_inside_of_a_loop_ends_nothing(pipe):
    """It shows the steps until now, and later looks show more."""
    states = torch.cat(pipe.encode_prompt("a dog", "cpu", 1, True)[::-1])
    block = {"prompt": "a dog", "tokenizer": pipe.tokenizer, "states": states[1]}
    with seediff.capture(pipe.unet, **block) as seen:
        loop(pipe, states, levels=(900, 500))
        first = seen.maps[0]
        loop(pipe, states, levels=(100,))
        assert (seen._runs()[0].steps, seen.prompts) == (3, ["a dog"])
    with seediff.capture(pipe.unet, **block) as expected:
        loop(pipe, states, levels=(900, 500))
    assert_same_maps(first, expected.maps[0])
    with seediff.capture(pipe.unet, **block) as expected:
        loop(pipe, states, levels=(900, 500, 100))
        assert len(expected.maps) == 1
        expected.clear()
        loop(pipe, states, levels=(900, 500, 100))
    assert_same_maps(seen.maps[0], expected.maps[0])


@pytest.mark.parametrize(("where", "is_late"), [("some", False), ("some", True), ("all", False), ("network", True)])
def test_hooks_that_give_layers_another_text(pipe, where, is_late):
    """is_late: the hooks are put there inside of the block."""
    unet, hooks = pipe.unet, []
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    chosen = {"some": layers[-1:], "all": layers, "network": [unet]}[where]

    def change(_module, args, given):
        return args, {**given, "encoder_hidden_states": given["encoder_hidden_states"].flip(1)}

    def put():
        hooks.extend(module.register_forward_pre_hook(change, with_kwargs=True) for module in chosen)

    try:
        if not is_late:
            put()
        with suppress(seediff.UserError), seediff.capture(pipe) as seen:
            if is_late:
                put()
            draw(pipe)
    finally:
        for hook in hooks:
            hook.remove()
    if where != "network":  # refused before the first step
        with user_error("is given another text than the network"):
            seen.heatmap("dog")


def test_a_callback_that_changes_the_prompt(pipe):
    """Maps are of the steps with the prompt, and a line says so."""

    def change(_pipe, step, _level, tensors):
        return {"prompt_embeds": tensors["prompt_embeds"] * (1 if step == 0 else 1.1)}

    how = {"num_inference_steps": 4, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    with seediff.capture(pipe) as seen, pytest.warns(Notice, match="was given the prompt in 2 of 5 steps"):
        draw(pipe, callback_on_step_end=change, **how)
    assert len(seen.maps) == 1


def test_an_image_that_is_drawn_while_another_is(pipe):
    def again(pipe, _step, _level, tensors):
        draw(pipe, "a bus")
        return tensors

    with user_error("was called before its last call ended"), seediff.capture(pipe):
        draw(pipe, callback_on_step_end=again)


def test_texts_that_a_call_encodes_apart(pipe):
    """The prompt is the one that the call was given, or that is named, whichever was encoded first."""

    class Apart(type(pipe)):
        def __call__(self, prompt=None, text=None):
            unwanted, wanted = (self.encode_prompt(each, "cpu", 1, False)[0] for each in ("a car", prompt or text))
            loop(self, torch.cat([unwanted, wanted]), levels=(900, 500, 400, 100))

    other = Apart(**pipe.components, requires_safety_checker=False)
    with seediff.capture(other) as seen:
        other("a dog")
    assert (seen.prompts, seen._runs()[0].steps) == (["a dog"], 4)
    said = r"^several texts were encoded, .*; name the text, capture\(pipe, prompt='…'\)$"
    with user_error(said), seediff.capture(other):
        other(text="a dog")
    with seediff.capture(other, prompt="a dog") as named:
        other(text="a dog")
    assert_same_maps(named.maps[0], seen.maps[0], atol=0)


def test_a_call_that_draws_another_text_than_its_prompt(pipe):
    class Changed(type(pipe)):
        def __call__(self, prompt):
            _, other = (self.encode_prompt(text, "cpu", 1, False)[0] for text in (prompt, f"{prompt} on grass"))
            loop(self, other, levels=(900, 500))
            return SimpleNamespace(images=[Image.new("RGB", (64, 64))])

    other = Changed(**pipe.components, requires_safety_checker=False)
    with seediff.capture(other) as seen:
        other("a dog")
    with user_error("its network was never given the prompt; name the encoded prompt .*states=prompt_embeds"):
        seen.heatmap("dog")
    states = pipe.encode_prompt("a dog on grass", "cpu", 1, False)[0]
    with seediff.capture(other, prompt="a dog on grass", states=states) as seen:  # as it says
        other("a dog")
    assert seen.words == [("dog", "grass")]
    assert repr(seen) == "<Captured: 1 picture>\n0: 'a dog on grass', words: dog, grass"


def test_texts_that_a_call_encodes_together(pipe):
    """Of one encoding with several texts, the call's prompts or the named ones count, in whichever place."""

    class Together(type(pipe)):
        def __call__(self, prompt, template="{}"):
            states = self.encode_prompt(["a car", template.format(prompt)], "cpu", 1, False)[0]
            loop(self, states, levels=(900, 500, 400, 100))

    other = Together(**pipe.components, requires_safety_checker=False)
    with seediff.capture(other) as seen:
        other("a dog")
    assert (seen.prompts, seen.words) == (["a dog"], [("dog",)])
    said = r"^several texts were encoded, .*; name the text, capture\(pipe, prompt='…'\)$"
    with user_error(said), seediff.capture(other):
        other("dog", template="a {}")
    with seediff.capture(other, prompt="a dog") as named:
        other("dog", template="a {}")
    assert_same_maps(named.maps[0], seen.maps[0], atol=0)


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (np.full((2, 4, 6, 3), 0.5, np.float32), 2),
        ((np.full((2, 4, 6, 3), 128, np.uint8), None), 2),
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
    with seediff.capture(pipe.unet, prompt="a dog") as seen:
        draw(pipe, "a dog", guidance_scale=1.0)
    assert [maps.words for maps in seen.maps] == [{}]
    with user_error(r"^'dog': only the tokenizer knows its columns"):
        seen.heatmap("dog")
    with seediff.capture(pipe.unet, prompt=["a dog", "a cat"]) as seen, user_error("2 texts were given, but 1 images"):
        draw(pipe, "a dog", guidance_scale=1.0)
    with seediff.capture(pipe.unet, prompt="a dog", states=states) as seen:
        draw(pipe, "a dog")
        with pytest.warns(Notice, match="several sizes"):
            draw(pipe, "a dog", height=128)
    with user_error(r"several sizes, .*in one run; use one `with` block for each"):
        seen.heatmap((2,))


class Stopped(Exception):
    pass


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


def test_images_of_another_pipeline_with_the_same_network(pipe):
    from diffusers import StableDiffusionPipeline

    other = StableDiffusionPipeline.from_pipe(pipe)
    with seediff.capture(pipe) as seen:
        draw(other, "a bus", seed=1)
        with user_error(r"0 were drawn in the block.*capture the pipeline that draws"):
            seen.heatmap("bus")
        draw(pipe)
        draw(other, "a bus", seed=1)
    assert seen.prompts == ["a dog and a cat"]
    assert_same_maps(seen.maps[0], alone(pipe)[0], atol=0)
    with seediff.capture(pipe.unet, prompt="a bus") as seen:
        draw(other, "a bus", seed=1, guidance_scale=1.0)
    assert len(seen.maps) == 1


def test_a_copy_that_is_made_inside_of_the_block(sd1_pipe):
    """Is a pipeline of its own, which is not captured, and reads texts with its own encoder; a pickled one, too."""
    with seediff.capture(sd1_pipe) as seen:
        draw(sd1_pipe)
        signature = inspect.signature(sd1_pipe.encode_prompt)
        pickled = pickle.loads(pickle.dumps(sd1_pipe))
        draw(pickled)
        other = copy.deepcopy(sd1_pipe)
        other.text_encoder.get_input_embeddings().weight.data.neg_()
        images = draw(other)
    assert seen.prompts == ["a dog and a cat"]
    assert signature == inspect.signature(sd1_pipe.encode_prompt)
    assert type(pickled) is type(other) is type(sd1_pipe)
    assert np.array_equal(images, draw(type(sd1_pipe)(**other.components, requires_safety_checker=False)))


def test_images_that_are_forgotten(pipe, monkeypatch):
    with seediff.capture(pipe) as seen:
        draw(pipe, "a bus")
        assert len(seen.maps) == 1
        held = sum(run.map_bytes for run in seen._runs())
        assert held == seen.expected(64, 64).map_bytes
        seen.clear()
        draw(pipe)
        assert seen.prompts == ["a dog and a cat"]
        monkeypatch.setattr("seediff.script.run_checks.memory_bytes", lambda: int(1.5 * held))
        with user_error(r"earlier images hold .*, which seen\.clear\(\) frees"):
            draw(pipe)
        seen.clear()
        draw(pipe)
    assert_same_maps(seen.maps[0], alone(pipe)[0], atol=0)


def test_arguments_of_wrapped_methods_are_named():
    class Owner:
        def draw(self, prompt, kwargs=None, **more):
            return prompt, kwargs, more

    owner, given = Owner(), []
    with wrap(owner, "draw", lambda arguments, call: given.append(arguments) or call()):
        assert owner.draw("a dog", steps=2) == ("a dog", None, {"steps": 2})
    (arguments,) = given
    assert {"prompt": "a dog", "kwargs": None, "steps": 2}.items() <= arguments.items()


def test_two_threads_at_once(pipe):
    with seediff.capture(pipe):

        def meanwhile(pipe, step, _level, tensors):
            if step == 1:
                thread = threading.Thread(target=lambda: pipe.unet(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 77, 32)))
                thread.start()
                thread.join()
            return tensors

        caught = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading, "excepthook", lambda given: caught.append(given.exc_value))
            draw(pipe, num_inference_steps=3, callback_on_step_end=meanwhile)
        assert "two threads use a captured pipeline at once" in str(caught[0])


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


def test_cached_attention(loaded):
    """The mean of the steps that computed it, as T-GATE's."""
    from diffusers import PyramidAttentionBroadcastConfig

    pipe = loaded("flux").pipe
    with seediff.capture(pipe, steps=2) as expected:
        draw(pipe, num_inference_steps=2)
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(0, 1000),
        current_timestep_callback=lambda: pipe.current_timestep,
    )
    pipe.transformer.enable_cache(config)
    with seediff.capture(pipe) as seen:
        draw(pipe, num_inference_steps=2)
    assert_same_maps(seen.maps[0], expected.maps[0], atol=0)


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
    with user_error("'dog': is not in the prompt 'a cat', as far as the model reads it; its words: cat$"):
        seen.heatmap("dog")  # CLIP's state is pooled: its tokens are no columns


class Own:
    """A call of the pipeline that draws with a loop of its own. at_step: (call, text states, those of no text) → what
    is done at each timestep. call: numbers of pictures, text states → the network's call."""

    def __init__(self, pipe, at_step, levels=(900, 500, 100), pictures=()):
        outer = self

        class Pipeline(type(pipe)):
            @torch.no_grad()
            def __call__(self, prompt, steps=None, negative_prompt="", height=None, width=None):
                wanted, unwanted = self.encode_prompt(prompt, "cpu", 1, True, negative_prompt)
                noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
                outer.levels = levels
                if steps is not None:
                    self.scheduler.set_timesteps(steps)
                    outer.levels = self.scheduler.timesteps
                for level in outer.levels:

                    def call(numbers, states, level=level):
                        self.unet(noise[numbers], level, encoder_hidden_states=states)

                    at_step(call, wanted, unwanted)
                return SimpleNamespace(images=list(pictures))

        self.pipe = Pipeline(**pipe.components, requires_safety_checker=False)


AT_STEP = {
    "one call": lambda call, text, none: call([0, 0], torch.cat([none, text])),
    "two calls": lambda call, text, none: (call([0], none), call([0], text)),
    "tiles": lambda call, text, none: [call([n], text) for n in (0, 1)],
}


@pytest.mark.parametrize(("name", "scheduler"), [("one call", None), ("tiles", None), ("two calls", "HeunDiscrete")])
def test_calls_with_the_prompt_at_one_timestep(pipe, name, scheduler):
    """As many as the scheduler has. None: the loop has timesteps of its own."""
    if scheduler is not None:
        pipe.scheduler = getattr(diffusers, f"{scheduler}Scheduler").from_config(pipe.scheduler.config)
    own = Own(pipe, AT_STEP[name])
    with seediff.capture(own.pipe) as seen, warnings.catch_warnings(record=True) as told:
        own.pipe("a dog", 3 if scheduler else None)
    if name != "tiles":
        assert seen._runs()[0].steps == len(own.levels)
        assert seen.heatmap("dog").shape == (64, 64)
        return
    said = r"^picture: the network was given the prompt \d+ times, \d times at one step: it draws parts that overlap"
    for ask in (lambda: seen.maps, lambda: seen.heatmap("dog")):
        with user_error(said):
            ask()
    assert len(told) == 1


def test_another_number_of_pictures_than_rows(pipe):
    own = Own(pipe, AT_STEP["one call"], pictures=[Image.new("RGB", (64, 64))] * 2).pipe
    with seediff.capture(own) as seen:
        own("a dog")
    with user_error(
        "^pictures: the pipeline returned 2, and 1 rows of a batch had the prompt: which .*; let the pipeline"
    ):
        seen.heatmap("dog")


def test_an_error_of_capture_itself_ends_no_drawing(pipe, monkeypatch):
    """While it draws, when its maps are made, and when its pictures are read. The next picture has maps again."""
    how = {"num_inference_steps": 2}
    plain, expected = draw(pipe, **how), alone(pipe)[0]
    for broken in (
        "attention.running_maps.add_probabilities",
        "script.which_rows._distances",
        "script.text_recording.frame_weights",
        "script.run_recorder.returned_images",
    ):
        with seediff.capture(pipe) as seen:
            with monkeypatch.context() as patch:
                patch.setattr(f"seediff.{broken}", lambda *_, **__: 1 / 0)
                with pytest.warns(Notice) as told:
                    images = draw(pipe, **how)
            assert np.array_equal(images, plain)
            draw(pipe)
        assert len(told) == 1
        assert_same_maps(seen._maps(1, seen.words[1]), expected, atol=0)
        image = seen.images[0]
        assert (image is None) == broken.endswith("images")
        with user_error(r"^(the network's call|\S+attn1): capture failed \(division by zero\)$"):
            seen.heatmap("dog")


def test_a_network_that_is_replaced_inside_of_the_block(pipe):
    first, other = pipe.unet, copy.deepcopy(pipe.unet)
    with seediff.capture(pipe) as seen:
        draw(pipe, "a dog")
        pipe.unet = other
        draw(pipe, "a cat")
        pipe.unet = first
        draw(pipe, "a bus")
    assert seen.prompts == ["a dog", "", "a bus"]
    assert seen.heatmap("bus", image=2).shape == seen.images[1].shape[:2] == (64, 64)
    with user_error("^the pipeline's network was replaced inside of the `with` block; open a new `with` block after"):
        seen.heatmap("cat", image=1)


def test_attention_that_is_replaced_inside_of_the_block(sd1_pipe):
    block = sd1_pipe.unet.mid_block.attentions[0].transformer_blocks[0]
    with seediff.capture(sd1_pipe) as seen:
        block.attn2 = copy.deepcopy(block.attn2)
        draw(sd1_pipe)
    with user_error(r"transformer_blocks.0.attn2: did not run \(replaced inside of the block\?\); open a new"):
        seen.heatmap("cat")


def test_what_is_put_in_place_inside_of_the_block(sd1_pipe):
    """As a LoRA: maps are of what draws each picture."""
    with seediff.capture(sd1_pipe) as seen:
        draw(sd1_pipe)
        sd1_pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_q.weight.data *= 2
        draw(sd1_pipe)
    assert not torch.equal(*(maps.cross_attention[8, 8] for maps in seen.maps))
    assert_same_maps(seen.maps[1], alone(sd1_pipe)[0], atol=0)


@pytest.mark.parametrize("name", ["flux", "sd3"])
def test_masks_of_joint_attention(loaded, name):
    """T5's padding is masked in FLUX.1, by a bool or float mask; diffusers' processor of SD 3 ignores it."""
    pipe = loaded(name).pipe
    how = {"max_sequence_length": 32, "guidance_scale": 1.0}
    tokenizer = pipe.tokenizer_2 if name == "flux" else pipe.tokenizer_3
    read = tokenizer("a dog and a cat", padding="max_length", max_length=32, return_tensors="pt").attention_mask.bool()
    positions = (64 // (2 * pipe.vae_scale_factor)) ** 2
    image, clip = torch.ones(1, positions, dtype=torch.bool), torch.ones(1, 77, dtype=torch.bool)
    whole = torch.cat([read, image] if name == "flux" else [image, clip, read], 1)
    each = whole[:, None, None]
    drawn = []
    for mask in (each, torch.zeros(each.shape).masked_fill(~each, -1e4)):
        more = {**how, "joint_attention_kwargs": {"attention_mask": mask}}
        with seediff.capture(pipe) as seen:
            image = draw(pipe, **more)
        assert np.array_equal(image, draw(pipe, **more))
        drawn += seen.maps
    (cross,) = drawn[0].cross_attention.values()
    hidden = (~whole[0, :32] if name == "flux" else ~whole[0, positions:]).nonzero().flatten()
    assert (cross[:, hidden].max() == 0) == (name == "flux")
    assert_same_maps(*drawn)
