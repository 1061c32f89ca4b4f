"""Where each layer of attention looks at each noise level: AUC against exact masks, of the class word and of an object's own rows.

Of joint attention each share is measured: of the whole row (picture and text together), and of the word's or the picture's own
columns alone.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.progress import Progress

from ...attention.capture import capture_attention
from ...attention.maps import AttentionMaps
from ...attention.photograph import check_schedule, encode_images, run_noised
from ...attention.recorder import KINDS, AttentionRecorder
from ...config.constants import CaptureConfig
from ...files.outputs import check_writable
from ...files.terminal import make_console
from ...metrics.bootstrap import mean_interval
from ...mini.quality import scene_auc
from ...mini.world.packaged import load_scenes
from ...mini.world.scene import Scene
from ...models.registry import Model, load_model
from ...prompts.tokens import locate_columns
from ..bars import study_progress
from ..results import write_tables
from .fitted import is_joint

BATCH = 16
TIMESTEPS = tuple(range(50, 1000, 100))
TITLES = {
    "cross": "The class word against its object",
    "self_object": "Rows of an object's positions against the object",
    "self_background": "Rows of the background's positions against the background",
}
SHARES = {"row": "of the whole row", "own": "of its own columns alone", "": ""}
"""Of joint attention; "" where picture and text are attended to in layers of their own."""
TOGETHER = "all layers"
Key = tuple[str, str, str, str, int]
"""Share, kind of attention, layer, level, timestep."""


def run_layers(
    scenes: int = 100,
    out: Path = Path("layers-study"),
    *,
    model: str = "mini",
    scene_set: Literal["truth", "shift", "tune"] = "truth",
    timesteps: Sequence[int] = TIMESTEPS,
    json_path: Path | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure every layer on the first `scenes` of `scene_set` at every timestep; write results.md, .csv and .json to `out`.

    `rows` of the result: AUC, its 95 % bootstrap interval over scenes, by share, kind, layer, level and timestep. Layer "all layers" is
    the mean of all maps of one level, as the commands average them.

    Raises UserError: more scenes asked for than there are, an unknown model, timesteps that it does not have, or no place to write to.
    """
    started = time.monotonic()
    held = load_scenes(scene_set, scenes)
    check_writable(out, json_path)
    loaded = load_model(model, device=device)
    order = sorted(set(check_schedule(loaded, timesteps)))
    rows: list[dict[str, Any]] = []
    with study_progress() as progress:
        for share in shares(loaded):
            found = measure(loaded, held, share, order, seed=seed, progress=progress)
            rows += [_figure(key, values) for key, values in found.items()]
    result = {
        "model": loaded.name,
        "scene_set": scene_set,
        "scenes": scenes,
        "timesteps": order,
        "seed": seed,
        "rows": rows,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_tables(out, result, markdown(result), rows, json_path)
    return result


def shares(model: Model) -> tuple[str, ...]:
    """What a position's attention to a column may be a share of."""
    return ("row", "own") if is_joint(model) else ("",)


def measure(
    model: Model, scenes: Sequence[Scene], share: str, timesteps: Sequence[int], *, seed: int, progress: Progress
) -> dict[Key, list[tuple[int, float]]]:
    """(scene, AUC) of every layer at every timestep, where the scene's mask is not empty at the layer's level."""
    found: dict[Key, list[tuple[int, float]]] = defaultdict(list)
    task = progress.add_task(f"attention {SHARES[share]}".strip(), total=len(scenes) * len(timesteps))
    for start in range(0, len(scenes), BATCH):
        batch = scenes[start : start + BATCH]
        latents = encode_images(model, [scene.image for scene in batch])
        prompts = [scene.caption for scene in batch]
        words = [locate_columns(model.readers, scene.caption, scene.classes) for scene in batch]
        for timestep in timesteps:
            own = KINDS if share == "own" else ()
            with capture_attention(model.network, CaptureConfig(), guidance=False, per_layer=True, own=own) as recorder:
                indices = range(start, start + len(batch))
                run_noised(model, latents, prompts, timesteps=(timestep,), seed=seed, indices=indices)
            together = recorder.maps(words, prompts)
            for number, (scene, whole) in enumerate(zip(batch, together, strict=True)):
                for layer, maps in _layers(recorder, number, whole):
                    rng = np.random.default_rng((seed, start + number))  # the same rows of every layer
                    for (kind, level), values in scene_auc(scene, maps, rng).items():
                        known = [(start + number, value) for value in values if not np.isnan(value)]
                        found[share, kind, layer, level, timestep] += known
            progress.advance(task, len(batch))
    return found


def _layers(recorder: AttentionRecorder, image: int, whole: AttentionMaps) -> Iterator[tuple[str, AttentionMaps]]:
    """One image's maps of every layer by its name, and of all together."""
    yield TOGETHER, whole
    by_kind = {kind: recorder.layer_maps(kind, image) for kind in KINDS}
    names = dict.fromkeys(name for grids in by_kind.values() for layers in grids.values() for name in layers)
    for name in names:
        own = {kind: {grid: layers[name] for grid, layers in grids.items() if name in layers} for kind, grids in by_kind.items()}
        yield name, AttentionMaps(own["self"], own["cross"], whole.latent_size, whole.words, whole.prompt, whole.normalized)


def _figure(key: Key, values: Sequence[tuple[int, float]]) -> dict[str, Any]:
    share, kind, layer, level, timestep = key
    at = np.array([value for _, value in values])
    low, high = mean_interval(at, np.array([scene for scene, _ in values])) if len(at) else (float("nan"),) * 2
    figures = {"auc": at.mean() if len(at) else float("nan"), "low": low, "high": high}
    about = {"share": share, "kind": kind, "layer": layer, "level": level, "timestep": timestep}
    return about | {name: None if np.isnan(value) else round(float(value), 4) for name, value in figures.items()}


def grids(result: Mapping[str, Any]) -> Iterator[tuple[str, list[list[str]]]]:
    """A title and a table a kind and share: a row a layer, a column a timestep; the best layer of each is marked, as is the best of all."""
    for title, some in _tables(result):
        lines: dict[tuple[str, str], dict[int, float | None]] = defaultdict(dict)
        for row in some:
            lines[row["level"], row["layer"]][row["timestep"]] = row["auc"]
        best = max((row["auc"] for row in some if row["auc"] is not None), default=None)
        yield (
            title,
            [[layer, level, *(_cell(figures[t], best) for t in result["timesteps"])] for (level, layer), figures in sorted(lines.items())],
        )


def _tables(result: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """A title and its rows a kind and share, of those that were measured."""
    rows: Sequence[Mapping[str, Any]] = result["rows"]
    for share in dict.fromkeys(row["share"] for row in rows):
        for kind, title in TITLES.items():
            if some := [row for row in rows if (row["share"], row["kind"]) == (share, kind)]:
                yield f"{title}, {SHARES[share]}" if share else title, some


def _cell(value: float | None, best: float | None) -> str:
    if value is None:
        return "–"
    return f"**{value:.3f}**" if value == best else f"{value:.3f}"


def markdown(result: Mapping[str, Any]) -> str:
    """The result as Markdown tables."""
    lines = [
        "# Where attention looks",
        "",
        ", ".join(f"{key} {result[key]}" for key in ("model", "scene_set", "scenes")),
        "",
        "AUC against exact masks; columns are timesteps, 0 without noise. `all layers`: the mean of all maps of the level.",
    ]
    for title, table in grids(result):
        steps = result["timesteps"]
        lines += ["", f"## {title}", "", "| layer | level | " + " | ".join(map(str, steps)) + " |", "|---" * (2 + len(steps)) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join(lines) + "\n"


def show(result: Mapping[str, Any], out: Path) -> None:
    """Print the best of every table, and where everything is."""
    console = make_console()
    for title, some in _tables(result):
        known = [row for row in some if row["auc"] is not None]
        if known:
            top = max(known, key=lambda row: row["auc"])
            found = f"{top['auc']:.3f} ({top['low']:.3f}–{top['high']:.3f}) by {top['layer']} at {top['level']}, t = {top['timestep']}"
            console.print(f"{title}: best AUC {found}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"Tables: {out / 'results.md'}   CSV: {out / 'results.csv'}   JSON: {out / 'results.json'}", soft_wrap=True)
