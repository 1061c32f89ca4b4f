import pytest
import torch
from builders.refusals import user_error

import seediff
from seediff.models.families import network_family
from seediff.script.encodings import NamedText
from seediff.script.run import ReadText
from seediff.script.which_columns import TextColumns

HOW = {"height": 64, "width": 64, "num_inference_steps": 1, "output_type": "np"}


@pytest.mark.parametrize(
    ("name", "limit", "before", "column"),
    [
        ("flux", 32, 30, 30),
        ("flux", 32, 31, None),  # the end token takes its place
        ("sd3", 512, 300, 77 + 300),
        ("z_image", 40, 60, None),  # of 64 columns, 24 are padding
    ],
)
def test_the_limit_is_the_runs_own(loaded, name, limit, before, column):
    pipe = loaded(name).pipe
    prompt = "a " * before + "cat and a bus"
    with seediff.capture(pipe, keep="ca") as seen:
        pipe(prompt, generator=torch.Generator().manual_seed(1), max_sequence_length=limit, **HOW)
    if column is None:
        assert "cat" not in seen.words[0]
        with user_error("^'cat': is not in the prompt .*, as far as the model reads it"):
            seen.heatmap("cat")
    else:
        assert seen._maps(0, ["cat"]).words["cat"][-1] == column


def test_another_instruction_is_refused(loaded):
    """It moves the prompt's columns."""
    pipe = loaded("sana").pipe
    with user_error("^complex_human_instruction: .*; leave it out"), seediff.capture(pipe):
        pipe("a dog", complex_human_instruction=["Draw this."], **HOW)


def test_pipelines_without_a_tokenizer(loaded):
    """As where another one encodes: what is missing is named, and what names it is enough."""
    full = loaded("flux").pipe
    states, pooled, _ = full.encode_prompt("a photo of a cat", None, max_sequence_length=64)
    given = {"prompt_embeds": states, "pooled_prompt_embeds": pooled, **HOW}
    none = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    pipe = type(full)(**{**full.components, **none})
    with seediff.capture(pipe, prompt="a photo of a cat") as seen:
        pipe(**given)
    assert seen.words == [()]
    said = r"^'cat': only the tokenizer knows its columns; name one, capture\(pipe, prompt='…', tokenizer=…\), or name"
    with user_error(said):
        seen.heatmap("cat")
    with seediff.capture(pipe, prompt="a photo of a cat", tokenizer=full.tokenizer_2) as seen:
        pipe(**given)
    assert seen._maps(0, ["cat"]).words == {"cat": (4,)}


def test_chunks_that_the_tokenizer_does_not_fill(loaded):
    """As of Stable Diffusion 3 without T5: of each chunk's 333 columns, CLIP's tokenizer reads 77."""
    pipe, prompt = loaded("sd3").pipe, "a dog BREAK a cat"
    named, text = NamedText.of(prompt, pipe.tokenizer, None), ReadText({"prompt": prompt}, 2 * 333)
    columns = TextColumns(pipe, network_family(pipe.transformer), named, text, 2 * 333)
    assert columns.find(["cat"]) == {"cat": ()}
    assert "given 666 columns, and the prompt 'a dog BREAK a cat' does not say" in str(columns.refusal("cat"))


def test_brackets_where_weights_are_read(sd1_model):
    """Which the pipeline leaves out, so that columns move."""
    pipe, text = sd1_model.pipe, "a (dog:1.5) and a cat"

    class Weighted(type(pipe)):
        def encode_prompt(self, prompt, *args, **more):
            return super().encode_prompt(prompt.replace("(", "").replace(":1.5)", ""), *args, **more)

    other = Weighted(**pipe.components, requires_safety_checker=False)
    with seediff.capture(other) as seen:
        other(text, **HOW)
        other("a dog", **HOW)
    assert seen.words == [(), ("dog",)]
    with user_error(r"^'cat': the prompt has a weight \('"):
        seen.heatmap("cat", image=0)
    with user_error("^prompt: '.*' looks like a weight; give the text without"), seediff.capture(pipe, prompt=text):
        pass
    with seediff.capture(pipe) as seen:
        pipe(text, **HOW)
    assert seen.heatmap("cat").shape == (64, 64)  # diffusers' own reads what is written
