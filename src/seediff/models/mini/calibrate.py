"""Make the two yardsticks and state how good they are, on scenes that neither has seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .classifier import Classifier, recognised, train_classifier
from .scenes import load_scenes
from .segmenter import segmenter_iou, train_segmenter
from .world import Scene, render_scene
from .yardstick import FOLDER, SCENE_SEED, YardstickRecipe, save_yardstick, training_scenes

CHECK_SCENES = 300


def train_yardsticks(
    art: Path,
    out: Path = FOLDER,
    *,
    recipe: YardstickRecipe | None = None,
    report: Callable[[dict], None] = lambda row: None,
    workers: int = 1,
    device: str = "cpu",
) -> dict[str, dict[str, float]]:
    """Train classifier and segmenter on rendered scenes, write both to `out`, and return what each reaches.

    Both are measured twice: on the packaged held-out scenes (half of their objects are sprites never trained on) and on
    new scenes of the training sprites, which is what the embedded model can draw.
    """
    recipe = recipe or YardstickRecipe()
    scenes = training_scenes(art, recipe.scenes, workers)
    held = load_scenes("truth", CHECK_SCENES)
    # The training split again, beyond the scenes trained on: known sprites in unseen places.
    known = [render_scene(art, recipe.scenes + i, seed=SCENE_SEED) for i in range(CHECK_SCENES)]

    classifier = train_classifier(scenes, recipe, report, device)
    accuracy = {"held_scenes": accuracy_on(classifier, held), "known_sprites": accuracy_on(classifier, known)}
    save_yardstick(classifier, out / "classifier.safetensors", {k: f"{v:.4f}" for k, v in accuracy.items()})

    segmenter = train_segmenter(scenes, recipe, report, device)
    quality = {"held_scenes": segmenter_iou(segmenter, held), "known_sprites": segmenter_iou(segmenter, known)}
    save_yardstick(segmenter, out / "segmenter.safetensors", {k: f"{v:.4f}" for k, v in quality.items()})
    return {"classifier": accuracy, "segmenter": quality}


def accuracy_on(classifier: Classifier, scenes: list[Scene]) -> float:
    """Share of single-object scenes whose class scores highest."""
    single = [s for s in scenes if len(s.classes) == 1]
    return float(recognised(classifier, np.stack([s.image for s in single]), [s.classes[0] for s in single]).mean())
