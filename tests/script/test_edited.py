"""Pictures that are edited: words behind the pictures that Qwen-Image's text encoder is shown, and maps of these."""

from functools import partial

import pytest
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


def tokens_of(pipe, seen):
    """Word → the tokens in its columns, as the text encoder reads them; columns end where the text does."""
    text = seen._drawn(0).attention.text
    tokenizer = pipe.processor.tokenizer
    template = getattr(pipe, "prompt_template_ti2i", "") or pipe.prompt_template_encode
    behind = template.partition("{}")[2]
    end = tokenizer(text.prompt + behind).input_ids
    return {
        word: tokenizer.decode([end[column - text.columns] for column in columns]).replace(" ", "")
        for word, columns in text.find(text.words).items()
    }


def test_words_behind_pictures(draw):
    """Of two pictures at once, with the maps of each step."""
    pipe, draw = draw
    with seediff.capture(pipe, apart="step") as seen:
        draw(num_images_per_prompt=2)
    assert seen.prompts == [PROMPT] * 2
    assert tokens_of(pipe, seen) == {word: word for word in ("cat", "potted", "plant")}
    assert [*seen.heatmaps_apart("cat", image=1)] == ["0", "1"]
