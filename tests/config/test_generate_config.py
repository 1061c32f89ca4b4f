from dataclasses import replace

import pytest

from seediff import __version__
from seediff.cli.commands import main
from seediff.config.base import differences
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.generate import GenerateConfig
from seediff.config.resolve import configure, load_config, read_file
from seediff.config.sizes import check_sides, check_size, pixels
from seediff.errors import UserError

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
    "config", [FULL, GenerateConfig(classes=("dog",)), replace(FULL, capture=CaptureConfig(steps="second-half"))]
)
def test_toml_round_trip(tmp_path, config):
    path = tmp_path / "seediff.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert load_config(path, GenerateConfig) == config
    assert f'version = "{__version__}"' in path.read_text(encoding="utf-8")


def test_command_line_before_file_before_default(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        'classes = "dog, cat"\nper_class = 7\nseed = 5\nguidance_scale = 3\n[mask]\nalpha = 0.4\nbeta = 0.2\n'
    )
    config = configure(GenerateConfig, {"model": "owner/name", "per_class": 9, "mask": {"beta": 0.6}}, path)
    assert (config.classes, config.per_class, config.seed, config.steps) == (("dog", "cat"), 9, 5, 50)
    assert (config.mask.alpha, config.mask.beta, config.mask.tau) == (0.4, 0.6, 4)
    assert isinstance(config.guidance_scale, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("per_clas = 1", r"c\.toml: there is no option 'per_clas'"),
        ("[mask]\nalfa = 1", r"c\.toml \[mask\]: there is no option 'alfa'"),
        ("per_class = true", "must be a whole number"),
        ("reject = 1", "must be true or false"),
        ("[mask]\nbeta = 'best'", r'c\.toml \[mask\]: beta: "best" must be a number in \(0, 1\) or'),
        ("mask = 3", "must be a table"),
        ("classes = [", r"c\.toml: is not TOML"),
        ('classes = "names.txt"', r"is a file, which only --classes may name"),
    ],
)
def test_bad_files_are_told_with_file_and_key(tmp_path, text, message):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_file(path, GenerateConfig)


def test_a_configuration_opens_no_other_file(tmp_path, monkeypatch, capsys):
    """Whoever wrote it could have others' files shown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("a {class} that nobody should see\n")
    for line in ('classes = "secret"', 'classes = "dog"\nprompts = "secret"', 'classes = "./secret"'):
        (tmp_path / "c.toml").write_text(line)
        main(["generate", "--config", "c.toml", "--device", "cpu", "--dry-run", "--out", "out"])
        assert "nobody" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": "dog"}, 'classes: "dog" must be a list, each a text'),
        ({"classes": ()}, "empty"),
        ({"per_class": [3]}, r"per_class: \[3\] must be a whole number of at least 1"),
        ({"per_class": 0}, "per_class: 0 must be a whole number of at least 1"),
        ({"per_class": 900_000_000_000}, "per_class: 900000000000 would be 900000000000 images;"),
        ({"classes_per_image": 2}, "there is only 1 class"),
        ({"classes_per_image": (1, 0)}, "classes_per_image: 1,0 must be at least 1"),
        ({"classes_per_image": (1, 2)}, "classes_per_image: 1,2, but there is only 1 class"),
        ({"prompts": ("a dog",)}, "does not contain"),
        ({"size": "1024×768×3"}, "size: '1024×768×3' must be a side in pixels, or"),
        ({"size": True}, "size: true must be a whole number or a text"),
        ({"size": "3200x64"}, "size: 3200x64: one side is 50 times the other; at"),
        ({"size": "99999999x64"}, "size: 99999999x64: sides must be from 1 to 65536"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"negative_prompt": "a\nb"}, "line break"),
    ],
)
def test_impossible_values(values, message):
    with pytest.raises(UserError, match=message):
        GenerateConfig(**{"classes": ("dog",), **values})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("1024x768", "1024x768"),
        ("1024X768", "1024x768"),
        (" 1024 × 768 ", "1024x768"),
        ("512x512", 512),
        ("512", 512),
        (512, 512),
    ],
)
def test_a_size_has_one_form(given, kept, tmp_path):
    """So that a square is the same configuration, and the same seediff.toml, however it was written."""
    config = GenerateConfig(classes=("dog",), size=given)
    assert config.size == kept
    assert f"\nsize = {kept!r}".replace("'", '"') in config.to_toml()
    (tmp_path / "c.toml").write_text(config.to_toml(), encoding="utf-8")
    assert load_config(tmp_path / "c.toml", GenerateConfig) == config
    assert pixels("1024x768") == (768, 1024)


@pytest.mark.parametrize(
    ("size", "rules", "near"),
    [
        ("1000x770", (64, None), "1024x768"),
        ("152x20", (16, None), "128x16"),  # 160x16 is too narrow
        ("1001", (16, 256), "256"),
        ("1001x130", (16, 500), "496x128"),
        ("522", (16, None, 512**2), "512"),
        ("665x394", (16, None, 512**2), "656x384"),  # 672x400 has too many pixels
        ("511x512", (16, None, 512**2), "512"),
    ],
)
def test_the_size_that_a_message_names_is_supported(size, rules, near):
    with pytest.raises(UserError, match=rf"for example {near}$"):
        check_sides(pixels(size), "size", "m", *rules)
    check_sides(pixels(near), "size", "m", *rules)
    check_size(near)


def test_differences_name_key_and_both_values():
    new = replace(FULL, seed=1, size=None, mask=replace(FULL.mask, alpha=0.4), classes=("dog",))
    assert differences(FULL, new) == [
        "seed: 1099511627776 → 1",
        "classes: dog,café → dog",
        "mask.alpha: 0.5 → 0.4",
        "size: 256 → unset",
    ]
    assert differences(FULL, FULL) == []
