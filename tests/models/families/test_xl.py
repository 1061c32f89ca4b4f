"""SDXL's narrow twin: two tokenizers, pooled state, sizes told, no attention at L."""

import numpy as np
import pytest
from builders.families import SPECS, generate, plain

from seediff.cli.commands import main
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.levels import fit_levels


@pytest.mark.parametrize(("guidance", "negative"), [(3.0, "a cat"), (3.0, ""), (0.0, "")])
def test_the_picture_is_that_without_capture(model, guidance, negative):
    images, maps = generate(model, guidance_scale=guidance, negative_prompt=negative)
    more = {"negative_prompt": [negative] * 2} if negative else {}  # an empty one is not none to this pipeline
    assert np.array_equal(np.stack(images), plain(model, guidance_scale=guidance, **more))
    assert (list(maps[0].self_attention), maps[0].latent_size) == ([(4, 4), (2, 2)], (8, 8))


def test_the_nearest_level_is_taken_and_said(model):
    config = model.network.config
    fitted, notes = fit_levels(config, MaskConfig(), CaptureConfig(), model.family)
    assert (fitted.seed_level, fitted.expand_levels) == (4, (4, 2))
    assert notes == ["expand_levels = 4,2,1 (L/4, L/2, L): the nearest that the model has is L/4, L/2"]
    fitted, notes = fit_levels(
        config, MaskConfig(method="ca_sa", seed_level=1, self_level=8), CaptureConfig(), model.family
    )
    assert (fitted.seed_level, fitted.self_level, len(notes)) == (2, 4, 2)


def test_the_trace_names_the_levels_that_were_read(folder, tmp_path):
    options = ("--steps", "2", "--size", "64", "--device", "cpu", "--quiet")
    assert (
        main(
            [
                "generate",
                "--classes",
                "dog",
                "--per-class",
                "1",
                "--model",
                str(folder),
                *options,
                "--out",
                str(tmp_path / "set"),
            ]
        )
        == 0
    )
    (steps,) = (tmp_path / "set" / "steps").iterdir()
    header = steps.read_bytes()[:4000]
    assert b"expansion L/2" in header
    assert b"expansion L\\" not in header


def test_the_plan_says_the_levels_and_the_authors_guidance(folder, tmp_path):
    from seediff.config.generate import GenerateConfig
    from seediff.config.resolve import configure
    from seediff.run.generate import GenerateJob
    from seediff.run.loop import plan

    config = configure(GenerateConfig, {"classes": ("dog",), "model": str(folder)})
    assert (config.steps, config.guidance_scale) == (50, 5.0)
    text = plan(GenerateJob(config), tmp_path / "set")
    assert "Levels: expand_levels = 4,2,1 (L/4, L/2, L): the nearest that the model has is L/4, L/2" in text
    assert "images of 128×128 in" in text


@pytest.mark.parametrize("dry", [True, False])
def test_turbo_with_guidance_is_one_line(folder, dry, tmp_path, capsys):
    (tmp_path / "sdxl-turbo").symlink_to(folder, target_is_directory=True)
    line = [
        "generate",
        "--classes",
        "dog",
        "--model",
        str(tmp_path / "sdxl-turbo"),
        "--guidance-scale",
        "7.5",
        "--device",
        "cpu",
    ]
    assert main([*line, "--out", str(tmp_path / "set"), *["--dry-run"] * dry]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error == [f"seediff: --guidance-scale: 7.5: model '{tmp_path / 'sdxl-turbo'}' draws without guidance; use 0"]
    assert not (tmp_path / "set").exists()


def test_diffcut_reads_the_encoder(model):
    from seediff.config.constants import SegmentConfig
    from seediff.segments.make import make_segments

    image = generate(model, SPECS[:1])[0][0]
    (found,) = make_segments(model, [image], SegmentConfig(method="diffcut"), size=64)
    assert found.label_map.shape == (64, 64)
