import numpy as np
import pytest
from items import noise_pixels
from PIL import Image
from refusals import user_error

import seediff
from seediff.errors import Notice
from seediff.models.registry import load_model

LOOK = {"timesteps": (300,), "presence": 0.0}


@pytest.fixture(scope="module")
def model(mini_folder):
    return load_model(str(mini_folder), device="cpu")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "a.png"
    Image.fromarray(noise_pixels(48, 64)).save(path)
    return path


def test_masks_are_those_of_the_command(model, mini_folder, photo, tmp_path):
    """Of a file, Pillow's picture and an array, with a model and its name."""
    given = {"classes": ("dog", "cat"), "model": str(mini_folder), **LOOK}
    seediff.mask_photos(seediff.MaskPhotosConfig.recommended(**given), seediff.find_photos([photo]), tmp_path / "out")
    expected = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))
    opened = Image.open(photo)
    for image, of in ((photo, mini_folder), (opened, model), (np.asarray(opened), model)):
        result = seediff.mask(image, ["dog", "cat"], model=of, **LOOK)
        assert np.array_equal(result.label_map, expected)
        assert result.classes == ("dog", "cat")
        assert result.soft.shape == (2, 48, 64)
        assert result.trace["dog"]


def test_a_loaded_network_with_the_rest_of_another_model(mini_folder, photo):
    """Its constants, which its base decides too, are found without naming that again."""
    model = load_model(mini_folder / "unet", base=mini_folder, device="cpu")
    expected = seediff.mask(photo, ["dog"], model=mini_folder / "unet", base=mini_folder, device="cpu", **LOOK)
    assert np.array_equal(seediff.mask(photo, ["dog"], model=model, **LOOK).label_map, expected.label_map)
    assert seediff.segment(photo, model=model, segment={"num_points": 4}).label_map.shape == (48, 64)
    with user_error(r"^base: the model is loaded already"):
        seediff.mask(photo, ["dog"], model=model, base="mini")


def test_a_small_model_is_for_its_own_drawings(model, photo):
    for ask in (
        lambda image: seediff.segment(image, model=model, segment={"num_points": 4}),
        lambda image: seediff.mask(image, ["dog"], model=model, **LOOK),
    ):
        with pytest.warns(Notice, match="knows its own emoji art alone"):
            ask(photo)


def test_a_class_that_is_absent(model, photo):
    result = seediff.mask(photo, ["dog", "cat"], model=model, timesteps=(300,), presence=1.0)
    assert not result.label_map.any()
    assert result.flags == ("no_class", "absent:dog", "absent:cat")
    assert not result.soft.any()
    assert len(result.unrefined) == 2


def test_segments_are_those_of_the_command(model, mini_folder, photo, tmp_path):
    given = {"model": str(mini_folder), "segment": {"num_points": 4}}
    config = seediff.SegmentPhotosConfig.recommended(**given)
    seediff.segment_photos(config, seediff.find_photos([photo]), tmp_path / "out")
    label_map = np.asarray(Image.open(tmp_path / "out" / "instances" / "a.png")).astype(int) - 1
    segments = seediff.segment(photo, model=model, segment={"num_points": 4})
    assert len(segments.scores) == segments.label_map.max() + 1
    assert np.array_equal(segments.label_map, label_map)


BLACK = np.zeros((64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda _: seediff.mask(BLACK, ["dog"]), "photographs need a real model"),
        (
            lambda model: seediff.mask(BLACK, ["dog"], model=model, steps=3),
            "there is no option 'steps'; the name here",
        ),
        (lambda model: seediff.mask(BLACK, "dog", model=model), r'^classes: "dog" must be a list'),
        (
            lambda model: seediff.mask(BLACK[0], ["dog"], model=model),
            r"^the image: is an array \(64, 3\) of uint8",
        ),
        (
            lambda model: seediff.mask(BLACK, ["dog"], model=model, keep_soft=True),
            "^keep_soft: does nothing for an image in memory; leave it out, or use mask_photos$",
        ),
        (lambda model: seediff.segment(BLACK, model=model, name_threshold=0.3), "^name_threshold: does nothing"),
    ],
)
def test_what_is_refused(model, ask, said):
    with user_error(said):
        ask(model)


def test_options_of_a_table(model, photo):
    assert len(seediff.segment(photo, model=model, method="kmeans", k=3).scores) == 3
