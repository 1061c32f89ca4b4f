import re
from collections import Counter
from functools import lru_cache
from inspect import getsource, signature
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders.eager import everything_kept, means
from builders.editing import MARKS, editing
from builders.reference_attention import BOOKS
from builders.refusals import user_error
from builders.script_pipelines import PIPELINES

import seediff
from seediff.models.families import families, network_family

PAGE = (Path(__file__).parents[2] / "docs" / "script.md").read_text(encoding="utf-8")
PROMPT = "a photo of a cat and a potted plant"


@pytest.fixture(scope="module")
def made(loaded):
    """Name of a pipeline → it."""

    @lru_cache
    def make(name):
        pipe = PIPELINES[name].make(name, loaded(PIPELINES[name].twin).pipe)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


def draw(pipe, name):
    given = {"prompt": PROMPT, "num_inference_steps": 1, "output_type": "np", **PIPELINES[name].call}
    return pipe(**{"generator": torch.Generator().manual_seed(4), **given}).images


def behind_pictures(pipe, whole, positions, shown):
    """The drawn picture's columns and the text's, of `whole` columns. In Qwen-Image 2.1, the text's are those behind
    the shown pictures."""
    if not hasattr(pipe, "prompt_template_ti2i"):
        text = whole - positions - sum(shown)
        return slice(text, text + positions), slice(0, text)
    behind = pipe.prompt_template_ti2i.partition(MARKS[0])[2].format(PROMPT)
    text = len(pipe.processor.tokenizer(behind).input_ids)
    return slice(whole - positions, whole), slice(whole - positions - text, whole - positions)


STAND_FOR_ALL = (
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusion3Pipeline",
    "FluxPipeline",
    "StableDiffusionImg2ImgPipeline",
    "StableDiffusionInpaintPipeline",
    "StableDiffusionControlNetPipeline",
    "FluxKontextPipeline",
)
"""Each way to guide, to show a picture, and to join its text."""


def swept():
    for name in PIPELINES:
        yield pytest.param(name, marks=() if name in STAND_FOR_ALL else pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize("name", swept())
def test_maps_by_the_book(made, name):
    kind, pipe = PIPELINES[name], made(name)
    network = getattr(pipe, "unet", None) or pipe.transformer
    family, book = network_family(network), BOOKS[kind.twin]
    plain = draw(pipe, name)
    attributes = set(vars(pipe))
    with (
        everything_kept(network, dict.fromkeys(family.layers(network), book.attention)) as kept,
        seediff.capture(pipe) as seen,
    ):
        images = draw(pipe, name)
    assert np.array_equal(plain, images)
    assert set(vars(pipe)) == attributes
    if "call" in kind.guided:
        turns, first = Counter(), kind.guided == "calls"
        kept = [one for one in kept if (turns.update([one.name]) or turns[one.name]) % 2 == first]
    (maps,) = seen.maps
    height, width = maps.lattice
    image = text = slice(0, 0)
    if book.columns:
        image, text = book.columns(SimpleNamespace(pipe=pipe), height * width, [PROMPT])
        whole, positions = kept[0].probabilities.shape[3], height * width
        if kind.make is editing:
            image, text = behind_pictures(pipe, whole, positions, kind.shown)
        elif kind.shown:
            assert whole == image.stop + sum(kind.shown)
    expected = means(kept, 1, image, text, first=kind.guided in ("first half", "third"))
    difference = 0.0
    for (which, positions), tensor in expected.items():
        grid = next(grid for grid in maps.cross_attention if grid[0] * grid[1] == positions)
        found = getattr(maps, f"{which}_attention")[grid]
        difference = max(difference, float((found.double() - tensor[0]).abs().max()))
    print(f"\n{name}: {difference:.1e}")  # with pytest -s: the figures of docs/script.md
    assert difference < 1e-5
    assert seen.prompts == [PROMPT]
    assert {"cat", "potted", "plant"} <= set(maps.words)
    assert seen.heatmap("potted plant").shape == images[0].shape[:2]


def test_the_page_names_each_beside_those_of_families():
    table = PAGE.split("| guidance | further pipelines |")[1].split("\n\n")[0]
    named = {one or other for one, other in re.findall(r"`([^`]+)`|(the refiner|a custom pipeline)", table)}
    assert named == PIPELINES.keys() - {name for family in families() for name in family.pipelines}


REFUSED = {
    "Flux2KleinKVPipeline": "it keeps keys of other images from step to step",
    "QwenImageLayeredPipeline": "it draws several layers of an image at once",
    "VisualClozePipeline": "it draws several images in one",
    "VisualClozeGenerationPipeline": "it draws several images in one",
    "ZImageOmniPipeline": "it reads the prompt in parts, between the images that it shows",
}
"""Pipelines of diffusers whose network may be shown pictures → why they cannot be captured."""
FAILS = {"ChromaInpaintPipeline"}
"""It fails in diffusers: it asks for a setting that Chroma's networks do not have."""
BESIDE = {"ZImageControlNetPipeline", "ZImageControlNetInpaintPipeline"}
"""A second network is given the picture."""


@pytest.mark.slow
def test_each_pipeline_whose_network_may_be_shown_pictures_is_drawn_or_refused():
    import diffusers

    networks = {family.class_name for family in families() if "shown=" in getsource(type(family).call_shape)}
    networks.add("ZImageTransformer2DModel")  # may be shown pictures, which are refused
    found = set()
    for name in filter(re.compile("Pipeline$").search, dir(diffusers)):
        network = signature(getattr(diffusers, name).__init__).parameters.get("transformer")
        if re.search(rf"\b({'|'.join(networks)})\b", str(network)):
            found.add(name)
    drawn = {name.partition(",")[0] for name in PIPELINES} | {
        name for family in families() for name in family.pipelines
    }
    assert found - drawn == REFUSED.keys() | FAILS | BESIDE


@pytest.mark.parametrize("name", REFUSED)
def test_pipelines_that_cannot_be_captured(name):
    import diffusers

    pipe = object.__new__(getattr(diffusers, name))
    with user_error(f"^a {name}: cannot be captured; {REFUSED[name]}"), seediff.capture(pipe):
        pass
