"""Make the yardsticks — two networks, templates, moments — and state how good they are, on scenes that none has seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..world.packaged import load_scenes
from ..world.scene import CLASSES, Scene, render_scene
from .classifier import Classifier, recognised, train_classifier
from .frechet import FILE as MOMENTS
from .frechet import write_moments
from .networks import FOLDER, SCENE_SEED, YardstickRecipe, save_yardstick, training_scenes
from .segmenter import load_segmenter, segmenter_iou, train_segmenter
from .shapes import FILE as TEMPLATES
from .shapes import explained, template_sprites, templates_of, thresholds_of, write_templates

CHECK_SCENES = 300
WHOLE = 40  # rendered objects of each class that a threshold is set on
DRAWN = 25  # drawings of each class that `mini check` makes by default: what the moments' floor is measured with


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


def calibrate_measures(
    art: Path, out: Path = FOLDER, *, whole: int = WHOLE, drawn: int = DRAWN, report: Callable[[dict], None] = lambda row: None
) -> dict[str, dict[str, float]]:
    """Write the templates with their thresholds and the rendered scenes' moments to `out`; the networks are the package's.

    Returns the share of other rendered objects that pass, over all classes and in the worst one, and the moments' floor.
    """
    first = YardstickRecipe().scenes + CHECK_SCENES  # beyond those that the networks are trained and measured on
    scenes = [render_scene(art, first + i, seed=SCENE_SEED, objects=1) for i in range((whole + drawn) * len(CLASSES))]
    images, names = np.stack([s.image for s in scenes]), [s.classes[0] for s in scenes]
    set_on = whole * len(CLASSES)
    named, blobs = template_sprites(art)
    segmenter, templates = load_segmenter(), templates_of(named, blobs, dict.fromkeys(CLASSES, 0.0), str(art))
    scores: list[float] = []
    for start in range(0, len(images), 50):
        scores += [score for score, _ in explained(images[start : start + 50], names[start : start + 50], segmenter, templates)]
        report({"stage": "templates", "step": len(scores), "steps": len(images), "loss": 1 - scores[-1]})
    by_class = {c: [s for s, n in zip(scores[:set_on], names[:set_on], strict=True) if n == c] for c in CLASSES}
    thresholds = thresholds_of(by_class)
    write_templates(out / TEMPLATES.name, named, blobs, thresholds)
    passed = {c: np.mean([s >= thresholds[c] for s, n in zip(scores[set_on:], names[set_on:], strict=True) if n == c]) for c in CLASSES}
    floor = write_moments(out / MOMENTS.name, images[:set_on], images[set_on:])
    return {
        "templates": {"pass": float(np.mean(list(passed.values()))), "lowest_class": float(min(passed.values()))},
        "moments": {"floor": floor},
    }


def accuracy_on(classifier: Classifier, scenes: list[Scene]) -> float:
    """Share of single-object scenes whose class scores highest."""
    single = [s for s in scenes if len(s.classes) == 1]
    return float(recognised(classifier, np.stack([s.image for s in single]), [s.classes[0] for s in single]).mean())
