from dataclasses import MISSING, fields

import pytest
from refusals import user_error

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.config.class_names import VOC_CLASSES, join_classes, parse_classes, parse_prompts
from seediff.config.fields import field_types, fit_field
from seediff.config.methods import CaptureConfig, MaskConfig, maps_read
from seediff.config.runs import GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig
from seediff.config.settings import differences, load_config, read_config
from seediff.config.sizes import check_sides, check_size, shape_of
from seediff.config.train import TrainConfig

FULL = GenerateConfig(
    classes=("dog", "café"),
    per_class=3,
    prompts=('a "quoted" \\ {class}', "{class}"),
    negative_prompt="blur",
    size=256,
    seed=2**40,
    guidance_scale=5.0,
    reject=True,
    image_format="jpg",
    device="cpu",
    dtype="float32",
    capture=CaptureConfig(normalize=False, steps=3, layers="up"),
    mask=MaskConfig(beta="otsu", expand_levels=(4, 2), ignore_band=(0.5, 0.6), pamr_dilations=(1, 2)),
)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (MaskConfig, {"method": "magic"}, "method: 'magic' is not known; known: seediff, ca,"),
        (MaskConfig, {"beta": float("nan")}, "beta: nan must be a number above 0 and below 1 or 'otsu'"),
        (MaskConfig, {"ignore_band": (0.6, 0.5)}, "ignore_band"),
        (GenerateConfig, {"classes_per_image": (1, 2)}, "classes_per_image: 1,2 is more than 1 class"),
        (
            GenerateConfig,
            {"prompts": ("a {class}", "a tree", "x")},
            "prompts: prompt 2, 'a tree', has no {class} and names none of dog",
        ),
        (
            GenerateConfig,
            {"classes": ("dog", "cat"), "prompts": ("a {class}", "two cats and a dog")},
            "prompts: prompt 2, 'two cats and a dog', names cats, which would get no label; write cat, or make cats a",
        ),
        (
            GenerateConfig,
            {"classes": ("dog", "hot dog"), "prompts": ("a hot {class}",)},
            "'a hot {class}', names hot dog, which",
        ),
        (
            GenerateConfig,
            {"classes": ("dog", "cat"), "prompts": ("a dog",)},
            "prompts: no prompt names cat; add a line",
        ),
        (
            GenerateConfig,
            {"classes": ("dog", "cat"), "prompts": ("a {class}", "a dog by a cat"), "classes_per_image": 2},
            "classes_per_image: 2: the prompt 'a dog by a cat' names its own; leave it out",
        ),
        (GenerateConfig, {"prompts": ("a dog",), "subclasses": ("big dog",)}, "subclasses: have no place in prompts"),
        (
            MaskPhotosConfig,
            {"classes": ("dog",), "model": "mini", "prompts": ("a dog",)},
            "prompts: prompt 1, 'a dog', has no {class}; write",
        ),
        (GenerateConfig, {"size": "3200x64"}, "size: 3200x64: one side must be at most 8 times the other"),
        (GenerateConfig, {"classes": ()}, "classes: no names given"),
        (GenerateConfig, {"classes": ("a\nb",)}, "is empty, or has a comma"),
    ],
)
def test_impossible_values(kind, values, message):
    with user_error(message):
        kind(**{**({"classes": ("dog",)} if kind is GenerateConfig else {}), **values})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("per_clas = 1", r"c\.toml: there is no option 'per_clas'"),
        ("[mask]\nalfa = 1", r"c\.toml \[mask\]: there is no option 'alfa'"),
        ("per_class = true", "must be a whole number"),
        ("[mask]\nbeta = 'best'", r'c\.toml \[mask\]: beta: "best" must be a number above 0 and'),
        ("mask = 3", "must be a table"),
        ("classes = [", r"c\.toml: is not TOML"),
        ('classes = "names.txt"', r"c\.toml: classes: \"names.txt\" must be a list"),
    ],
)
def test_bad_files_are_told_with_file_and_key(tmp_path, text, message):
    (tmp_path / "c.toml").write_text(text)
    with user_error(message):
        read_config(tmp_path / "c.toml", GenerateConfig)


@pytest.mark.parametrize("config", [FULL, MaskPhotosConfig(["dog"], model="mini", timesteps=[5])])
def test_toml_round_trip(tmp_path, config):
    (tmp_path / "seediff.toml").write_text(config.to_toml(), encoding="utf-8")
    again = load_config(tmp_path / "seediff.toml", type(config))
    assert again == config
    assert differences(again, config) == []


def test_a_size_has_one_form():
    """So that a square is the same configuration, and the same seediff.toml, however it was written."""
    written = {"1024X768": "1024x768", " 1024 × 768 ": "1024x768", "512x512": 512, "512": 512, 512: 512}
    assert {size: GenerateConfig(classes=("dog",), size=size).size for size in written} == written
    assert shape_of("1024x768") == (768, 1024)


@pytest.mark.parametrize(
    ("size", "rules", "near"),
    [
        ("1000x770", (64, None), "1024x768"),
        ("1001x130", (16, 2048), "1008x128"),
    ],
)
def test_the_size_that_a_message_names_is_supported(size, rules, near):
    with user_error(rf"for example {near}$"):
        check_sides(shape_of(size), "size", "m", *rules)
    check_sides(shape_of(near), "size", "m", *rules)
    check_size(near)


def test_classes_and_prompts_from_names_voc_and_files(tmp_path):
    assert join_classes(("dog", "cat", "tvmonitor")) == "dog, a cat and a tv monitor"
    assert parse_classes("dog, potted plant ,") == ("dog", "potted plant")
    assert parse_classes("voc") == VOC_CLASSES
    names = tmp_path / "names.txt"
    names.write_text("\ufeffdog\r\n  café \n\n", encoding="utf-8", newline="")
    assert parse_classes(str(names)) == ("dog", "café")
    for none in ("background", "__background__", "_background_", "__ignore__", "unlabeled", "__ignore__\n_background_"):
        names.write_text(f"{none}\nperson\nknife\n")
        assert parse_classes(str(names)) == ("person", "knife")
    names.write_text("a {class} at night\n\na {class} by day\n")
    assert parse_prompts(str(names)) == ("a {class} at night", "a {class} by day")
    assert parse_prompts("a photo of a {class}") == ("a photo of a {class}",)
    for word in ("all", "voc"):
        with user_error(f"classes: '{word}' stands for a whole list"):
            parse_classes(f"{word},dog")


@pytest.mark.parametrize("kind", [GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig, TrainConfig, MaskConfig])
def test_defaults_are_values_of_their_types(kind):
    """They are not checked again in every configuration."""
    for one in fields(kind):
        if one.compare and one.default is not MISSING:
            fitting = fit_field(one.name, one.default, field_types(kind)[one.name])
            assert (fitting, type(fitting)) == (one.default, type(one.default))


ALL = (4, 2, 1)


@pytest.mark.parametrize(
    ("options", "cross", "own"),
    [
        ({}, (4,), ALL),
        ({"expansion": "none"}, ALL, ALL),  # of the background
        ({"expansion": "none", "background": False}, ALL, None),
        ({"method": "ca_sa"}, (4,), (2,)),
        ({"method": "reference", "seed_level": 2}, (2,), ALL),
    ],
)
def test_maps_that_a_method_reads(options, cross, own):
    """What is not captured raises an error when a mask is made."""
    assert maps_read(MaskConfig(**options)) == {"cross": cross} | ({"self": own} if own else {})
