import inspect
from types import SimpleNamespace

import pytest
import torch
from builders.refusals import user_error
from builders.same_maps import assert_same_maps
from builders.script_pipelines import PIPELINES

import seediff
from seediff.script import encodings
from seediff.script.which_rows import Encoded, find_rows, match

HOW = {"height": 64, "width": 64, "num_inference_steps": 1, "output_type": "np"}
STEPS = (900, 100)


@pytest.fixture(scope="module")
def pipe(sd1_model):
    return sd1_model.pipe


def noise():
    return torch.Generator().manual_seed(4)


def loop(pipe, *calls):
    """A picture in a loop of one's own. calls: the text states of each call of the network at a step."""
    latents = torch.randn(1, 4, 8, 8, generator=noise())
    with torch.no_grad():
        for level in STEPS:
            for states in calls:
                pipe.unet(latents.expand(len(states), -1, -1, -1), level, encoder_hidden_states=states)
    return SimpleNamespace(images=None)


def encode(pipe, text):
    return pipe.encode_prompt(text, "cpu", 1, False)[0]


@pytest.fixture(scope="module")
def texts(pipe):
    """The prompt, the empty text and another one."""
    return [encode(pipe, text) for text in ("a dog and a cat", "", "a photo")]


@pytest.fixture(scope="module")
def right(pipe, texts):
    """The maps of the prompt in a call of its own."""
    with seediff.capture(pipe.unet, prompt="a dog and a cat", tokenizer=pipe.tokenizer, normalize=False) as seen:
        loop(pipe, texts[0])
    return seen.maps[0]


LOOPS = {
    "two calls, without first": ([1], [0]),
    "two calls, the prompt first": ([0], [1]),
    "three calls": ([1], [0], [2]),
    "two rows, the prompt first": ([0, 1],),
    "two rows": ([1, 0],),
    "three rows: source, without, prompt": ([2, 1, 0],),
    "three rows: without, prompt, second prompt": ([1, 0, 2],),
    "two calls of two rows": ([1, 2], [2, 0]),
    "rows in two places": ([0, 1, 0, 2],),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_of_ones_own(pipe, texts, right, name):
    """What the loop encodes says which rows have the prompt; without it, several texts are refused."""
    calls = [torch.cat([texts[number] for number in rows]) for rows in LOOPS[name]]
    named = {"prompt": "a dog and a cat", "tokenizer": pipe.tokenizer, "normalize": False}
    ways = texts[0], texts[0][0], [texts[0][0]]
    for states in ways if name == "two rows" else ways[:1]:
        with seediff.capture(pipe.unet, **named, states=states) as seen:
            loop(pipe, *calls)
        assert seen.prompts == ["a dog and a cat"] * sum(rows.count(0) for rows in LOOPS[name])
        for maps in seen.maps:
            assert_same_maps(maps, right)
    said = r"several texts, and which is the prompt is unknown; name the encoded prompt.*tokenizer=.*, states="
    with user_error(said), seediff.capture(pipe.unet, **named) as seen:
        loop(pipe, *calls)
        seen.heatmap("dog")


def test_states_that_a_network_is_never_given(pipe, texts):
    with seediff.capture(pipe.unet, prompt="a bus", states=texts[2]) as seen:
        loop(pipe, texts[0])
    with user_error("^states: no call of the network was given them"):
        seen.heatmap((1,))


def plain(pipe, prompt):
    """The maps of a prompt's own pipeline, and its picture's noise."""
    with seediff.capture(pipe, normalize=False) as seen:
        pipe(prompt, generator=noise(), **HOW)
    return seen.maps


def sega(pipe):
    from diffusers import SemanticStableDiffusionPipeline as Kind

    return made(pipe, Kind)


def safe(pipe):
    from diffusers.pipelines.deprecated.stable_diffusion_safe import StableDiffusionPipelineSafe as Kind

    return made(pipe, Kind)


def made(pipe, kind):
    parts = {name: part for name, part in pipe.components.items() if name in inspect.signature(kind).parameters}
    made = kind(**parts, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


EDITS = {
    "edit_warmup_steps": 2,
    "edit_guidance_scale": 5.0,
    "edit_threshold": 0.9,
    "reverse_editing_direction": False,
    "editing_prompt": "glasses",
}


def edits(count):
    return {name: [value] * count for name, value in EDITS.items()} if count else {}


@pytest.mark.parametrize(
    ("make", "more"),
    [
        (sega, edits(1)),
        (sega, edits(2)),
        (safe, {}),
        (safe, {"sld_guidance_scale": 0.0}),
        (safe, {"prompt": ["a bus", "a dog and a cat", "a dog and a cat"]}),
    ],
)
def test_pipelines_whose_batch_has_more_than_the_prompts_two_rows(pipe, make, more):
    """A picture's self-attention at its first step depends on the noise alone, its cross-attention on the text."""
    given = {"prompt": "a dog and a cat", **HOW, **more}
    of_network, other = [], make(pipe)
    prompts = [given["prompt"]] if isinstance(given["prompt"], str) else given["prompt"]
    for named in ({}, {"prompt": given["prompt"]}):
        with seediff.capture(other, normalize=False, **named) as seen:
            other(generator=noise(), **given)
        assert seen.prompts == prompts
        of_network.append(seen.maps)
    for number, text in enumerate(prompts):
        with seediff.capture(other.unet, normalize=False, states=encode(pipe, text)) as expected:
            other(generator=noise(), **given)
        same = [one for one, other_text in enumerate(prompts) if other_text == text]
        assert_same_maps(of_network[0][number], expected.maps[same.index(number)])
        assert_same_maps(of_network[1][number], of_network[0][number])
    assert ("dog", "cat") in seen.words


def own_kind(pipe, order, *, through=False):
    """A pipeline that encodes without `encode_prompt`. order: of a batch's rows: the prompt's (0) or the empty text's.
    through: it has the method, and does not use it."""

    class Own:
        unet, tokenizer, text_encoder, components = pipe.unet, pipe.tokenizer, pipe.text_encoder, {}

        def __call__(self, prompt=None, text=None):
            both = encode_alone(self, prompt or text), encode_alone(self, "")
            return loop(self, torch.cat([both[number] for number in order]))

    class Through(Own, type(pipe)):
        pass

    return made(pipe, Through) if through else Own()


def encode_alone(pipe, text):
    with torch.no_grad():
        tokens = pipe.tokenizer(text, padding="max_length", return_tensors="pt", max_length=77, truncation=True)
        return pipe.text_encoder(tokens.input_ids)[0]


@pytest.mark.parametrize(
    ("order", "through"), [((1, 0), False), ((1, 0), True), ((0, 1), False), ((0, 1, 1), False), ((0,), True)]
)
def test_pipelines_that_encode_by_themselves(pipe, right, order, through):
    """The call's prompt, or the named one, is encoded once more to be found."""
    own = own_kind(pipe, order, through=through)
    for named, given in (
        ({}, {"prompt": "a dog and a cat"}),
        ({"prompt": "a dog and a cat"}, {"text": "a dog and a cat"}),
    ):
        with seediff.capture(own, normalize=False, **named) as seen:
            own(**given)
        assert_same_maps(seen.maps[0], right)
        assert len(seen.maps) == 1
    with user_error("no encode_prompt encoded the text, .*; name the text"), seediff.capture(own):
        own(text="a dog")
    with user_error("the network was given no text that equals"), seediff.capture(own, prompt="a bus"):
        own(text="a dog")


def test_rows_of_one_text(pipe):
    """Pictures of a prompt that is given twice, and several of one, in their order."""
    for more in (
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "negative_prompt": ["a dog and a cat"] * 2},
    ):
        with seediff.capture(pipe, normalize=False) as seen:
            pipe(["a dog and a cat", "a bus"], generator=[noise() for _ in range(4)], **HOW, **more)
        assert seen.prompts == ["a dog and a cat"] * 2 + ["a bus"] * 2
        assert_same_maps(seen.maps[0], seen.maps[1])
    with seediff.capture(pipe, normalize=False) as seen:
        pipe(["a bus", "a bus"], generator=[noise() for _ in range(2)], **HOW)
    assert_same_maps(seen.maps[0], plain(pipe, "a bus")[0])


@pytest.mark.parametrize("unwanted", [["a bus", "a dog"], ["a bus", "a cat"]])
@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "FluxPipeline, true_cfg_scale"])
def test_negative_prompts_that_are_prompts_of_other_pictures(loaded, name, unwanted):
    """In the same batch, and in calls of their own."""
    pipe = loaded(PIPELINES[name].twin).pipe
    how = {**PIPELINES[name].call, **HOW}

    def maps(negative):
        with seediff.capture(pipe, normalize=False) as seen:
            pipe(["a dog", "a bus"], generator=[noise(), noise()], **how | {"negative_prompt": negative})
        return seen.maps

    for found, expected in zip(maps(unwanted), maps(["", ""]), strict=True):
        assert_same_maps(found, expected)


def test_negative_prompts_of_which_one_is_a_prompt(pipe):
    """The half with the prompts in their order is the one that draws."""
    prompts = ["a dog and a cat", "a bus"]
    with seediff.capture(pipe, normalize=False) as seen:
        pipe(prompts, negative_prompt=[prompts[0], "a car"], generator=[noise() for _ in range(2)], **HOW)
    for number, text in enumerate(prompts):
        assert_same_maps(seen.maps[number], plain(pipe, text)[0])


@pytest.mark.parametrize("is_same", [True, False])
def test_a_negative_prompt_that_is_the_prompt(pipe, right, is_same):
    """Both rows draw the same, unless they are of other pictures: then which one is the prompt's is unknown."""

    class Own(type(pipe)):
        def __call__(self, prompt):
            states = torch.cat(self.encode_prompt(prompt, "cpu", 1, True, prompt))
            latents = torch.randn(1, 4, 8, 8, generator=noise())
            both = torch.cat([latents, latents if is_same else -latents])
            for level in STEPS:
                self.unet(both, level, encoder_hidden_states=states)
            return SimpleNamespace(images=None)

    own = made(pipe, Own)
    if is_same:
        with torch.no_grad(), seediff.capture(own, normalize=False) as seen:
            own("a dog and a cat")
        assert_same_maps(seen.maps[0], right)
        return
    with user_error("^2 rows of a batch of 2 have the prompt"), seediff.capture(own):
        own("a dog and a cat")


@pytest.mark.parametrize("order", [(1, 0), (0, 1), (1, 0, 1), (0, 0), "other"])
def test_texts_that_a_pipeline_encodes_together(pipe, right, order):
    """In any order: the prompt is encoded once more to be found among them."""

    class Own:
        unet, tokenizer, text_encoder, components = pipe.unet, pipe.tokenizer, pipe.text_encoder, {}

        def _encode_prompt(self, prompt, do_classifier_free_guidance):
            both = encode_alone(self, prompt), encode_alone(self, "")
            return 2 * torch.cat(both) if order == "other" else torch.cat([both[number] for number in order])

        def __call__(self, prompt):
            return loop(self, self._encode_prompt(prompt, True))

    own = Own()
    if order == "other":
        with user_error("^2 texts were encoded together, and which is the .*; give the states"), seediff.capture(own):
            own("a dog and a cat")
        return
    with seediff.capture(own, normalize=False) as seen:
        own("a dog and a cat")
    assert seen.prompts == ["a dog and a cat"]
    assert_same_maps(seen.maps[0], right)


def test_more_rows_than_pictures(pipe):
    """As of a second prediction with the prompt, whose attention is changed."""
    wanted = encode(pipe, "a dog")

    class Perturbed(type(pipe)):
        def __call__(self, prompt):
            self.encode_prompt(prompt, "cpu", 1, True)
            return loop(self, wanted.repeat(2, 1, 1))

    other = made(pipe, Perturbed)
    with (
        user_error("^2 rows of a batch of 2 have the prompt, for 1 pictures: which .*draw one"),
        seediff.capture(other),
    ):
        other("a dog")


def test_lists_of_states(loaded):
    """Z-Image repeats each prompt's state for its images, and may be given states alone."""
    pipe = loaded("z_image").pipe
    given = {**PIPELINES["ZImagePipeline"].call, "num_inference_steps": 1, "output_type": "np"}
    states, unwanted = pipe.encode_prompt(["a cat", "a large potted plant"], negative_prompt=["", ""])
    with seediff.capture(pipe) as seen:
        pipe(["a cat", "a large potted plant"], num_images_per_prompt=2, **given)
        pipe(prompt_embeds=states, negative_prompt_embeds=unwanted, **given)
    assert seen.prompts == ["a cat"] * 2 + ["a large potted plant"] * 2 + ["", ""]
    assert seen.image_numbers == [range(4), range(4, 6)]


def test_how_near_a_state_must_be():
    row, other = torch.randn(2, 5, 8, generator=noise())
    away = torch.zeros_like(row)
    away[0, 0] = row.norm()
    for states, found in (
        ([row, other], [0, None]),
        ([other, row + 5e-4 * away, row + 5e-4 * away], [None, 0, 0]),
        ([row + 2e-3 * away, other], [None, None]),
        ([row, row + 2e-3 * away], [0, None]),
        ([row[:3], torch.cat([row, other])], [0, 0]),  # padding was cut off, or added
        ([row.half(), row[:, :4]], [0, None]),
        ([torch.full_like(row, torch.nan)], [None]),
    ):
        rows = [row.half()] if states[0].dtype == torch.half else [row]
        assert match(rows, states) == found
    with user_error("^two texts of a batch are about equally near"):
        match([row], [row + 5e-4 * away, row + 2e-3 * away])
    layered = torch.randn(2, 5, 3, 8, generator=noise())  # a state for each layer of the text encoder
    assert match(list(layered), layered.flip(0)) == [1, 0]
    assert match([row, row], [row]) == [0]
    assert match([], [row]) == [None]


@pytest.mark.parametrize(
    ("kind", "batch", "found"),
    [
        ("any", "AXA", [0, 2]),
        ("any", "XX", []),
        ("all", "AB", [0, 1]),
        ("all", "AX", "several texts"),
        ("one per picture", "XXAB", [2, 3]),
        ("one per picture", "AXBX", [0, 2]),
        ("one per picture", "NN", []),
        ("one per picture", "XX", "no text that equals"),
        ("one per picture", "AABB", "^4 rows of a batch of 4"),
        ("one per picture", "BA", "^2 rows of a batch of 2"),
        ("negative too", "BXAB", [2, 3]),
        ("negative too", "ABAB", [0, 1]),
        ("negative too", "BAXX", "^2 rows of a batch of 4"),
        ("negative too", "BX", []),
        ("negative too", "AB", [0, 1]),
    ],
)
def test_rows_of_a_batch_of_two_prompts(kind, batch, found):
    """A and B are the prompts, N is another encoded text, X one that was not encoded."""
    states = dict(zip("ABNX", torch.randn(4, 5, 8, generator=noise()), strict=True))
    others = [states["N"], *([states["B"]] if kind == "negative too" else [])]
    rule = "one per picture" if kind == "negative too" else kind
    prompt = Encoded([states["A"], states["B"]], other_states=others, rule=rule)
    given = [states[text] for text in batch]
    latents = torch.randn(2, 4, 8, 8).repeat(len(batch), 1, 1, 1)[: len(batch)]
    if isinstance(found, str):
        with user_error(found):
            find_rows(prompt, given, {"sample": latents}, was_seen=False)
        return
    rows = find_rows(prompt, given, {"sample": latents}, was_seen=False)
    assert list(rows.numbers) == found
    assert all(prompt.states[text] is given[row] for row, text in zip(rows.numbers, rows.texts, strict=True))
    if batch == "ABAB":
        assert rows.are_twice
        with user_error("^4 rows of a batch of 4"):
            find_rows(prompt, given, {"sample": torch.randn_like(latents)}, was_seen=False)


def test_states_that_are_changed_in_place(pipe):
    """A loop of one's own that writes the prompt's states into the tensor that had others."""
    width = pipe.unet.config.cross_attention_dim
    prompt, other = torch.randn(1, 77, width), torch.randn(1, 77, width)
    latents, states = torch.randn(1, 4, 16, 16), other.clone()
    with seediff.capture(pipe.unet, prompt="a dog", tokenizer=pipe.tokenizer, states=prompt) as seen, torch.no_grad():
        pipe.unet(latents, 500, encoder_hidden_states=states)
        states.copy_(prompt)
        pipe.unet(latents, 400, encoder_hidden_states=states)
    with seediff.capture(pipe.unet, prompt="a dog", tokenizer=pipe.tokenizer, states=prompt) as alone, torch.no_grad():
        pipe.unet(latents, 400, encoder_hidden_states=prompt)
    assert_same_maps(seen.maps[0], alone.maps[0], atol=0)


def test_capture_encodes_a_prompt_once(monkeypatch):
    """However many calls of the network come before the first with the prompt."""
    encoded = []
    monkeypatch.setattr(encodings, "encode_texts", lambda *given: encoded.append(given[2]) or [torch.ones(3, 2)])
    found = encodings.Encodings(None, object(), encodings.NamedText.of(None, None, None), {"prompt": "a dog"})
    first, second = found.choose([torch.zeros(3, 2)]), found.choose([torch.ones(3, 2)])
    assert encoded == [["a dog"]]
    assert torch.equal(first.states[0], second.states[0])
