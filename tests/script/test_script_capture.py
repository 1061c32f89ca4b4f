import warnings

import numpy as np
import pytest
import torch
from builders.families import SPECS, generate, request
from builders.same_maps import assert_same_maps

import recipes.methods  # noqa: F401  registers the methods that are files
import seediff
from seediff.config.methods import MaskConfig
from seediff.config.runs import GenerateConfig
from seediff.errors import Notice
from seediff.masks import make_masks
from seediff.models.registry import load_model
from seediff.prompts.tokens import locate_columns
from seediff.script import results


@pytest.fixture(scope="module", params=["unet", "flux", "z_image"])
def model(request, loaded):
    return loaded(request.param)


@pytest.fixture(scope="module")
def mini():
    return load_model("mini", device="cpu").pipe


def test_maps_and_what_is_made_of_them(model):
    """Maps are those of `generate_batch`, found by what the network is given instead of by the family's order."""
    _, maps = generate(model)
    with seediff.capture(model.pipe) as seen:
        model.pipe(**request(model))
    for mine, theirs in zip(seen.maps, maps, strict=True):
        assert_same_maps(mine, theirs, atol=0)
    assert [seen._drawn(number).maps_with(spec.classes).words for number, spec in enumerate(SPECS[:2])] == [
        one.words for one in maps
    ]
    assert seen.words[1] == ("cat", "potted", "plant")
    heat = seen.heatmap("potted plant", image=1)
    assert heat.shape == (64, 64)
    assert (heat.values.min(), heat.values.max()) == pytest.approx((0, 1))
    assert seen.masks("cat", "potted plant", image=1).classes == ("cat", "potted plant")
    with pytest.warns(Notice, match=r"one segment: lower kl_threshold \(here 1000\.0\)"):
        assert seen.segments(image=1, num_points=4, kl_threshold=1000.0).label_map.shape == (64, 64)
    with pytest.raises(seediff.UserError, match=r"^'bus' is not in the prompt"):
        seen.heatmap("bus")


def test_masks_have_the_constants_of_the_models_folder(mini):
    with seediff.capture(mini) as seen:
        mini("a dog", num_inference_steps=1, generator=torch.Generator().manual_seed(0))
    own = GenerateConfig.recommended(classes=("dog",)).mask
    assert own != MaskConfig()
    expected = make_masks.make_masks(seen.images[0], seen.maps[0], ["dog"], own)
    assert torch.equal(seen.masks("dog").soft, expected.soft)
    assert torch.equal(seen.masks("dog", beta=0.9).soft, expected.soft)
    assert (seen.masks("dog", beta=0.9).label_map != 0).sum() < (expected.label_map != 0).sum()


def test_a_given_option_counts_more_than_the_folders(mini):
    """Also if it is the default."""
    counts = []
    for options in ({}, {"layers": "all"}):
        with seediff.capture(mini, keep="seediff", **options) as seen:
            counts.append({kind: len(names) for kind, names in seen._plan.layers.items()})
    own, everything = counts
    assert all(own[kind] < everything[kind] for kind in own)
    with seediff.capture(mini, keep="daam", normalize=True) as seen:  # daam's own is False
        assert seen._plan.capture.normalize


def test_phrases_that_contain_each_other(mini):
    """As in `generate`: the longest has the words, if they are asked for together."""
    prompt, phrases = "a t-shirt and a shirt", ("shirt", "t-shirt")
    with seediff.capture(mini, keep="ca") as seen:
        mini([prompt, f"a {max(phrases, key=len)} on grass"], num_inference_steps=1)
    expected = locate_columns(seen._plan.family.readers(mini), prompt, phrases)
    assert seen._drawn(0).maps_with(phrases).words == expected
    inner = min(phrases, key=len)
    assert np.array_equal(seen.heatmap(inner), seen.heatmap(seen._drawn(0).maps_with([inner]).words[inner]))
    assert set(seen._drawn(0).maps_with([inner]).words[inner]) > set(expected[inner])
    assert seen.masks(inner, image=1, pamr=False).classes == (inner,)
    for without, named in ((inner, phrases), ("T-shirt", ("t-shirt", "T-shirt"))):
        said = f"^'{without}': is in the prompt only as another word that you named"
        with pytest.raises(seediff.UserError, match=said):
            seen.masks(*named, image=1, pamr=False)


def test_words_of_things_that_may_be_one_are_named(mini, monkeypatch):
    with seediff.capture(mini) as seen:
        mini("a red dog and a cat", num_inference_steps=1)
    for module in (results, make_masks):
        monkeypatch.setattr(module, "mixed", lambda *_: [1])
    with pytest.warns(Notice, match=r"^cat: the mask nearly coincides with another class's") as said:
        assert "mixed:cat" in seen.masks("dog", "cat").flags
    assert seen.doubt("dog", "cat") == str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        assert "mixed:dog" in seen.masks("red", "dog").flags  # words of one phrase


def test_what_masks_and_heat_maps_cannot_be_made_of(mini):
    with seediff.capture(mini) as seen:
        mini("a dog and a cat", num_inference_steps=1)
    pixels = seen.images[0]
    words = r"^\['dog'.*\]: must be a word or phrase"
    for call, said in (
        (lambda: seen.masks(["dog", "cat"]), words),
        (lambda: seen.heatmap(2), "^2: must be a word or phrase"),
        (lambda: seen.masks("dog", bta=0.4), "^masks: there is no option 'bta'"),
        (lambda: seen.masks("dog", method="mine"), "^method: 'mine' is not known"),
        (lambda: seen.masks(), "^masks: there is no word; name at least one"),
        (lambda: seen.heatmap("dog", image=-2), "^image: -2: 1 were drawn in the block"),
    ):
        with pytest.raises(seediff.UserError, match=said) as error:
            call()
        assert error.value.__suppress_context__ or error.value.__context__ is None  # one traceback
    assert np.array_equal(seen.heatmap("dog", image=-1), seen.heatmap("dog"))
    flipped = seen.masks("dog", pixels=pixels[:, :, ::-1])  # which torch does not take as it is
    assert torch.equal(flipped.soft, seen.masks("dog", pixels=pixels[:, :, ::-1].copy()).soft)
