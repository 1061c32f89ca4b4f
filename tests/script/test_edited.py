"""Words behind the pictures that Qwen-Image's text encoder is shown."""

from functools import partial, wraps

import pytest
import torch
from builders.editing import Processor
from builders.refusals import user_error
from builders.script_pipelines import PIPELINES

import seediff

PROMPT, NEGATIVE = "a photo of a cat and a potted plant", "a bus"
NAMES = ("QwenImageEditPipeline", "QwenImageEditPlusPipeline, two images", "QwenImage21Pipeline, image")


@pytest.fixture(params=NAMES)
def draw(loaded, request):
    """A pipeline that edits, and a function that draws with it."""
    kind = PIPELINES[request.param]
    pipe = kind.make(request.param, loaded(kind.twin).pipe)
    pipe.set_progress_bar_config(disable=True)
    call = {**kind.call, "negative_prompt": NEGATIVE, "num_inference_steps": 2}
    return pipe, partial(pipe, prompt=PROMPT, **call)


def tokens_of(pipe, seen, of):
    """Word → the tokens in its columns, as the text encoder reads them; columns end where the text does."""
    text = seen._attention(0, of).text
    tokenizer = pipe.processor.tokenizer
    template = getattr(pipe, "prompt_template_ti2i", "") or pipe.prompt_template_encode
    behind = template.partition("{}")[2]
    end = tokenizer(text.prompt + behind).input_ids
    return {
        word: tokenizer.decode([end[column - text.columns] for column in columns]).replace(" ", "")
        for word, columns in text.find(text.words).items()
    }


def test_words_of_the_prompt_and_of_the_negative_prompt(draw):
    """Of two pictures at once, with the maps of each step."""
    pipe, draw = draw
    with seediff.capture(pipe, negative=True, apart="step") as seen:
        draw(num_images_per_prompt=2)
    assert seen.prompts == [PROMPT] * 2
    for of, words in (("prompt", {"cat", "potted", "plant"}), ("negative", {"bus"})):
        assert tokens_of(pipe, seen, of) == {word: word for word in words}
    assert [*seen.heatmaps_apart("cat", image=1)] == ["0", "1"]
    assert seen.heatmap("bus", of="negative").shape == seen.images[0].shape[:2]


def test_words_whose_columns_are_not_proved(draw, monkeypatch):
    """A processor that adds something, and embeddings, of which only columns are known."""
    pipe, draw = draw
    own = Processor.__call__

    @wraps(own)
    def adds(self, text, *args, **more):
        return own(self, [each + " so" for each in text], *args, **more)

    monkeypatch.setattr(Processor, "__call__", adds)
    with seediff.capture(pipe) as seen:
        draw()
    with user_error(r"^'cat': the processor's tokens are not those of the tokenizer; name columns$"):
        seen.heatmap("cat")
    assert seen.heatmap((1, 2)).shape == seen.images[0].shape[:2]


def test_embeddings_name_no_words(loaded):
    kind = PIPELINES[NAMES[0]]
    pipe = kind.make(NAMES[0], loaded(kind.twin).pipe)
    with torch.no_grad():
        states, mask = pipe.encode_prompt([PROMPT], [kind.call["image"]])
    with seediff.capture(pipe, prompt=PROMPT) as seen:
        pipe(image=kind.call["image"], prompt_embeds=states, prompt_embeds_mask=mask, height=64, width=64,
             num_inference_steps=1)  # fmt: skip
    with user_error(r"^'cat': the network is shown pictures, whose tokens come before the prompt's, and the processor"):
        seen.heatmap("cat")
