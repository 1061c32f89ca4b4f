"""`seediff study objects`: how well the methods of `objects` tell the objects of a class apart, on scenes with exact objects.

Each method's constants are tuned on the tuning scenes, with masks by the model's recommended method. All methods divide the same masks:
those, and the exact masks, which measure the division alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.ndimage import binary_dilation

from ..config.photographs import MaskPhotosConfig
from ..dataset.encoding import Instances
from ..files.label_maps import voc_palette
from ..files.output_folders import check_writable
from ..masks.make import make_masks
from ..metrics.average_precision import Matched, average_precision, match_objects, pixel_ious
from ..metrics.bootstrap import draw_images, interval
from ..metrics.panoptic import PanopticTally, panoptic_quality, panoptic_tally
from ..mini.scenes import CLASS_IDS, load_scenes
from ..mini.twins import ObjectScene, load_twins, scene_objects
from ..models.registry import Model, load_model
from ..objects.make import ObjectConfig, ObjectMap, make_objects
from ..report.pictures import contact_sheet, encoded, overlay
from ..report.progress import tracked
from .masks.capture import captured
from .results import markdown_table, write_study

GRIDS: dict[str, list[ObjectConfig]] = {
    "pieces": [ObjectConfig()],
    "peaks": [ObjectConfig("peaks", edge=edge, kl_threshold=t) for edge in (1.0, 2.0, 3.0) for t in (0.3, 0.6, 1.0, 1.5, 2.5)],
    "diffseg": [ObjectConfig("diffseg", kl_threshold=t) for t in (0.3, 0.45, 0.6, 0.8, 1.0)],
    "diffcut": [ObjectConfig("diffcut", power=p, cost=c) for p in (1.0, 5.0) for c in (0.3, 0.5, 0.7, 0.9)],
    "maskcut": [ObjectConfig("maskcut", similarity=s, cost=c) for s in (0.3, 0.5, 0.7) for c in (0.3, 0.5, 0.8)],
}
"""The configurations that each method is tuned over; connected pieces have no constants."""
GROUPS = ("all", "one per class", "two of a class", "two of a class that touch", "touching")
DRAWS = 200
PICTURES = 10
Masks = Literal["made", "exact"]


@dataclass
class Outcome:
    """The results of one method, per scene."""

    matched: list[Matched] = field(default_factory=list)
    tallies: list[PanopticTally] = field(default_factory=list)

    def ap(self, scenes: Sequence[int]) -> float:
        return average_precision([self.matched[i] for i in scenes]).ap

    def figures(self, scenes: Sequence[int]) -> dict[str, float]:
        """AP, AP50, AP75 and AR100, regardless of class; and PQ of the objects, with the background as stuff."""
        figures = asdict(average_precision([self.matched[i] for i in scenes]))
        quality = panoptic_quality([self.tallies[i] for i in scenes])
        return {name: round(value, 4) for name, value in (figures | {"pq": float(quality.per_class[0])}).items()}


def run_objects(
    scenes: int = 200,
    out: Path = Path("objects-study"),
    *,
    model: str = "mini",
    tune_scenes: int = 100,
    json_path: Path | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure on the first `scenes` held-out scenes and as many twins, with constants from the first `tune_scenes` of the tuning set and
    as many of its twins. Write results.md, results.json and objects.png to `out`, and return the result.

    Raises UserError: more scenes asked for than there are, an unknown model, or no place to write to.
    """
    held, tuning = object_scenes("truth", scenes), object_scenes("tune", tune_scenes)
    check_writable(out, json_path)
    loaded = load_model(model, device=device)
    ways = {f"{method} {number}": config for method, group in GRIDS.items() for number, config in enumerate(group)}
    tried, _ = measure(loaded, model, tuning, ways, ("made",), "tuning", seed)
    best = {}
    for method, group in GRIDS.items():
        scores = [tried["made", f"{method} {number}"].ap(range(len(tuning))) for number in range(len(group))]
        best[method] = group[scores.index(max(scores))]
    tested, sheet = measure(loaded, model, held, best, ("made", "exact"), "measuring", seed + 1)
    groups = {name: [i for i, scene in enumerate(held) if _belongs(scene, name)] for name in GROUPS}
    groups = {name: members for name, members in groups.items() if members}
    result: dict[str, Any] = {"model": loaded.name, "scenes": scenes, "tune_scenes": tune_scenes, "seed": seed}
    result |= {"images": {name: len(members) for name, members in groups.items()}}
    result["constants"] = {method: constants(config) for method, config in best.items()}
    for kind in ("made", "exact"):
        result[kind] = {m: {name: tested[kind, m].figures(members) for name, members in groups.items()} for m in best}
        others = (m for m in best if m != "pieces")
        result[f"{kind}_ahead"] = {m: {n: ahead(tested[kind, m], tested[kind, "pieces"], g) for n, g in groups.items()} for m in others}
    write_study(out, result, markdown(result), json_path, files={"objects.png": encoded(sheet)})
    return result


def object_scenes(name: Literal["truth", "tune"], count: int) -> list[ObjectScene]:
    """The first `count` scenes of a set, and as many twins."""
    return [scene_objects(scene) for scene in load_scenes(name, count)] + load_twins(name, count)


def measure(
    model: Model, name: str, scenes: Sequence[ObjectScene], ways: Mapping[str, ObjectConfig], kinds: Sequence[Masks], about: str, seed: int
) -> tuple[dict[tuple[Masks, str], Outcome], np.ndarray]:
    """The results of every way on every scene, for each kind of masks; and a picture of the last PICTURES scenes, which are twins."""
    recommended = MaskPhotosConfig.recommended(classes=("object",), model=name)
    source = recommended.capture
    tested: dict[tuple[Masks, str], Outcome] = {(kind, way): Outcome() for kind in kinds for way in ways}
    tiles: list[np.ndarray] = []
    items = captured(model, [scene.scene for scene in scenes], [source], seed=seed)
    for index, scene, maps in tracked(items, about, len(scenes)):
        objects = scenes[index].objects
        made = make_masks(scene.image, maps[source], scene.classes, recommended.mask, trace=False)
        labels = np.select([scene.label_map == CLASS_IDS[c] for c in scene.classes], range(1, len(scene.classes) + 1), 0)
        masks = {"made": made, "exact": replace(made, label_map=labels.astype(np.uint8))}
        row = [scene.image, _drawn(scene.image, objects.numbers)]
        for kind, way in tested:
            found = make_objects(masks[kind], maps[source], ways[way])
            add(tested[kind, way], found, objects)
            row += [_drawn(scene.image, found.numbers)] * (kind == "made")
        tiles += row * (index >= len(scenes) - PICTURES)
    titles = ["image", "exact", *ways] * PICTURES
    return tested, contact_sheet(tiles, columns=len(ways) + 2, labels=titles[: len(tiles)])


def add(outcome: Outcome, found: ObjectMap, exact: Instances) -> None:
    """Add one scene's matches and counts, regardless of the objects' classes."""
    ours, theirs = (np.arange(1, len(ids) + 1)[:, None, None] == numbers for numbers, ids in _both(found, exact))
    outcome.matched.append(match_objects(pixel_ious(ours, theirs), np.array(found.scores)))
    with_stuff = [(np.where(numbers == 0, len(ids) + 1, numbers), [0] * len(ids) + [1]) for numbers, ids in _both(found, exact)]
    outcome.tallies.append(panoptic_tally(*with_stuff[0], *with_stuff[1], 2))


def _both(found: ObjectMap, exact: Instances) -> Iterable[tuple[np.ndarray, Sequence[int]]]:
    return (found.numbers, found.class_ids), (exact.numbers, exact.class_ids)


def ahead(outcome: Outcome, other: Outcome, scenes: Sequence[int]) -> dict[str, Any]:
    """By how much a method's AP is above another's, with the paired 95 % bootstrap interval over scenes."""
    drawn = ([scenes[i] for i in chosen] for chosen in draw_images(len(scenes), draws=DRAWS))
    low, high = interval(np.array([outcome.ap(chosen) - other.ap(chosen) for chosen in drawn]))
    return {"ap": round(outcome.ap(scenes) - other.ap(scenes), 4), "ci95": [round(low, 4), round(high, 4)]}


def constants(config: ObjectConfig) -> dict[str, Any]:
    """The constants that differ from the method's defaults."""
    plain = ObjectConfig(config.method)
    return {f.name: getattr(config, f.name) for f in fields(config) if getattr(config, f.name) != getattr(plain, f.name)}


def _belongs(scene: ObjectScene, group: str) -> bool:
    ids, numbers = scene.objects.class_ids, scene.objects.numbers
    twins = len(set(ids)) < len(ids)
    if group in ("all", "one per class"):
        return group == "all" or not twins
    if group == "two of a class":
        return twins
    pairs = [(a, b) for b in range(1, len(ids) + 1) for a in range(1, b) if group == "touching" or ids[a - 1] == ids[b - 1]]
    return any((np.asarray(binary_dilation(numbers == a, np.ones((3, 3)))) & (numbers == b)).any() for a, b in pairs)


def _drawn(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return overlay(image, numbers.astype(np.uint8), voc_palette())


def markdown(result: Mapping[str, Any]) -> str:
    """A table per kind of masks: AP per group of scenes, PQ and the lead over pieces on all scenes, and the tuned constants."""
    lines = [", ".join(f"{key}: {result[key]}" for key in ("model", "scenes", "tune_scenes"))]
    groups = [f"AP, {name} ({count})" for name, count in result["images"].items()]
    for kind, title in (("made", "Masks made from attention"), ("exact", "Exact masks")):
        rows = []
        for method, of_group in result[kind].items():
            lead = result[f"{kind}_ahead"].get(method, {}).get("all")
            cells = [f"{figures['ap']:.3f}" for figures in of_group.values()] + [f"{of_group['all']['pq']:.3f}"]
            cells.append("{:+.3f} [{:+.3f}, {:+.3f}]".format(lead["ap"], *lead["ci95"]) if lead else "")
            rows.append([f"`{method}`", *cells, ", ".join(f"{k} {v}" for k, v in result["constants"][method].items())])
        lines += ["", f"### {title}", "", *markdown_table(["", *groups, "PQ, all", "AP above pieces, all [95 %]", "constants"], rows)]
    return "\n".join(lines) + "\n"
