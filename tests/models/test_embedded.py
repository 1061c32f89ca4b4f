import numpy as np
import pytest
from builders.plans import plan_of

from recipes.studies.capture import capture_images
from seediff.files.label_maps import resize_nearest
from seediff.mini import CLASS_IDS, load_scenes
from seediff.models.registry import load_model
from seediff.models.short_names import EMBEDDED

LARGEST = 60e6
"""Bytes of all that the package holds of weights."""


@pytest.fixture(scope="module", params=["mini", "mini-dit"])
def model(request):
    return load_model(request.param, device="cpu")


@pytest.mark.slow
def test_words_are_found_in_scenes(model):
    assert model.sizes.side == 128
    scenes = load_scenes(8)
    maps = capture_images(
        model,
        [scene.image for scene in scenes],
        [scene.caption for scene in scenes],
        [scene.classes for scene in scenes],
        timesteps=(250, 450),
        seed=0,
        plan=plan_of(model),
    )
    by_level = {}
    for scene, one in zip(scenes, maps, strict=True):
        for grid in one.cross_attention:
            for name in scene.classes:
                mask = resize_nearest((scene.label_map == CLASS_IDS[name]).astype(np.uint8), *grid) > 0
                values = one.cross_at(one.level(grid), name).numpy()
                if mask.any() and not mask.all():
                    above = (values[mask][:, None] > values[~mask]).mean()  # the AUC
                    by_level.setdefault(one.level(grid), []).append(above)
    assert max(np.mean(values) for values in by_level.values()) > 0.85


def test_the_package_stays_small():
    assert (
        sum(path.stat().st_size for folder in EMBEDDED.values() for path in folder.rglob("*") if path.is_file())
        < LARGEST
    )
