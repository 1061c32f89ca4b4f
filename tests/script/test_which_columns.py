import pytest
import torch
from builders.reference_attention import BOOKS, sweep
from builders.refusals import user_error

import seediff
from seediff.models.families import network_family
from seediff.script.which_columns import Named, named_readers, read_text

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
        with user_error("^'cat' is not in the prompt .*"):
            seen.heatmap("cat")
    else:
        assert seen._drawn(0).maps_with(["cat"]).words["cat"][-1] == column


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
    said = r"^'cat': only the tokenizer knows its columns; name the text"
    with user_error(said):
        seen.heatmap("cat")
    with seediff.capture(pipe, prompt="a photo of a cat", tokenizer=full.tokenizer_2) as seen:
        pipe(**given)
    assert seen._drawn(0).maps_with(["cat"]).words == {"cat": (4,)}


ALONE = "a photo of a cat and a bus"


@pytest.mark.slow
@pytest.mark.parametrize("name", sweep(BOOKS))
def test_tokenizers_that_are_named_for_a_network(loaded, name):
    """The family puts its template around the prompt, as its pipeline does."""
    pipe = loaded(name).pipe
    family = network_family(getattr(pipe, "unet", None) or pipe.transformer)
    columns_of = {reader.first: reader.name for reader in family.readers(pipe) if reader.first is not None}
    tokenizers = [getattr(pipe, part, None) or getattr(pipe, family.tokenizer_part) for part in columns_of.values()]
    named = Named([ALONE], named_readers(family, tokenizers))
    with seediff.capture(pipe) as seen:
        pipe(prompt=ALONE, **{**HOW, "num_inference_steps": 2})
    (maps,) = seen.maps
    columns = next(iter(maps.cross_attention.values())).shape[1]
    state = seen._drawn(0).attention.text.readings[-1].reader
    length = state.limit + (state.first or 0)
    text = read_text(None, family, named, {"prompt": ALONE}, length, columns, behind_pictures=False)
    assert text.find(["cat", "bus"]) == {word: maps.words[word] for word in ("cat", "bus")}


def test_a_pipeline_that_encodes_in_its_own_way(sd1_model):
    """It may read weights, which it leaves out, so that columns move: the script names the text that was read."""
    pipe, text = sd1_model.pipe, "a (dog:1.5) and a cat"

    class Weighted(type(pipe)):
        def encode_prompt(self, prompt, *args, **more):
            return super().encode_prompt(prompt.replace("(", "").replace(":1.5)", ""), *args, **more)

    other = Weighted(**pipe.components, requires_safety_checker=False)
    with seediff.capture(other) as seen:
        other(text, **HOW)
    with user_error("^'cat': the pipeline's own encode_prompt may read the prompt in another way"):
        seen.heatmap("cat")
    with seediff.capture(other, prompt="a dog and a cat") as seen:
        other(text, **HOW)
    assert seen._drawn(0).maps_with(["cat"]).words == {"cat": (5,)}
    with seediff.capture(other, prompt=text) as seen:
        other(text, **HOW)
    with user_error(r"^'cat': the named text has '\(dog:1.5\)', which looks like a weight: it must be"):
        seen.heatmap("cat")
    with seediff.capture(pipe) as seen:
        pipe(text, **HOW)
    assert seen.heatmap("cat").shape == (64, 64)  # diffusers' own reads what is written


CHUNKS = "a dog on grass", "a cat on a sofa"


@pytest.mark.parametrize(
    ("named", "column"),
    [
        (" BREAK ".join(CHUNKS), 77 + 2),
        (", ".join(CHUNKS), None),
        (f"{'very ' * 80}good BREAK a cat", None),  # the first part has two chunks itself
    ],
)
def test_embeddings_in_chunks(sd1_model, named, column):
    pipe = sd1_model.pipe
    given, unwanted = (
        torch.cat([pipe.encode_prompt(text, "cpu", 1, False)[0] for text in texts], 1) for texts in (CHUNKS, ("", ""))
    )
    with seediff.capture(pipe, prompt=named) as seen:
        pipe(prompt_embeds=given, negative_prompt_embeds=unwanted, **HOW)
    if column is None:
        with user_error(r"^'cat': .*154 columns were given: write BREAK between the chunks of the named text"):
            seen.heatmap("cat")
    else:
        assert seen._drawn(0).maps_with(["cat"]).words == {"cat": (column,)}


def test_a_transformers_embeddings_in_chunks(loaded):
    pipe = loaded("flux").pipe
    given, pooled, _ = pipe.encode_prompt("a cat", None)
    with seediff.capture(pipe, prompt="a dog BREAK a cat") as seen:
        pipe(prompt_embeds=given.repeat(1, 2, 1), pooled_prompt_embeds=pooled, **HOW)
    with user_error("^'cat': the network was given 1024 columns, in chunks that the tokenizer does not know"):
        seen.heatmap("cat")
