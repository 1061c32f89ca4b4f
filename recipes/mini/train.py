"""Runs the whole recipe in order: render, autoencoder, latents, denoiser, assemble. Continues wherever an earlier run
stopped.
"""

from __future__ import annotations

import json
import math
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from diffusers import AutoencoderKL

from seediff.allocator import keep_freed_memory
from seediff.devices import default_device
from seediff.errors import UserError
from seediff.files.documents import read_json
from seediff.files.output_folders import check_writable
from seediff.files.outputs import append, put, write_atomic
from seediff.mini.scenes import CLASSES
from seediff.models.registry import load_model
from seediff.report.pictures import encoded

from .autoencoder import train_autoencoder
from .data import rendered_scenes
from .files import map_array, replaced_folder
from .loop import Student, encode_scenes, load_student, train_student
from .recipe import NETWORKS, Recipe
from .sets import PLACE_WORDS, caption
from .teacher import taught_features
from .warmstart import new_student, read_autoencoder, read_origin, read_start, write_autoencoder, write_start

RECIPE = "recipe.json"
FEATURES = "features.npy"
REFUSED = "refused-"
SHEET_SEEDS, SHEET_STEPS, SHEET_GUIDANCE = 2, 25, 5.0
"""Seeds per class, steps and guidance scale of the sample pictures."""


def train_mini(
    recipe: Recipe,
    art: Path,
    folder: Path,
    *,
    minutes: float = math.inf,
    init: Path | None = None,
    autoencoder: Path | None = None,
    say: Callable[[str], None] = print,
) -> tuple[Path | None, bool]:
    """Train in `folder` for at most `minutes` and assemble the pipeline into `folder`/pipeline.

    Every loss goes to `folder`/losses.jsonl; `folder`/samples.png shows two images per class. Returns the pipeline's
    folder (None while the autoencoder is still in training) and whether the recipe is complete; if not, the same call
    continues it.

    init: a finished pipeline to start from. autoencoder: a pipeline of which only the autoencoder is used.

    Raises UserError if the folder holds the training of another recipe, and if both `init` and `autoencoder` are given.
    """
    started = time.monotonic()
    # Recipe, pipeline and art are checked before anything is written that would bind a later run.
    _check_recipe(recipe, folder)
    if init and autoencoder:
        raise UserError(
            "--init and --autoencoder: the pipeline to start from has an autoencoder, and its network knows no other;"
            " leave one out"
        )
    start = read_start(init, recipe, folder) if init else None
    vae_start = read_autoencoder(autoencoder, recipe, folder) if autoencoder else None
    check_writable(folder)
    cores = os.cpu_count() or 1
    say(f"Scenes: {recipe.scenes} of {recipe.side}² …")
    images, captions = rendered_scenes(recipe, art, folder, workers=cores)
    write_atomic(folder / RECIPE, json.dumps(_lasting(recipe), indent=2).encode("utf-8"))
    if start:
        write_start(*start, recipe, folder)
    if vae_start:
        write_autoencoder(vae_start, recipe, folder)
    report = Reporter(folder / "losses.jsonl", say)
    vae = train_autoencoder(recipe, images, folder, report, minutes)
    if vae is None:
        return None, False
    say("Encoding scenes …")
    latents, scaling = encode_scenes(vae, images, folder / "latents.npy")
    origin = read_origin(folder)
    scaling = origin.scaling or scaling
    features = None
    if recipe.schedule.alignment_weight:
        say("Features to come close to …")
        features = taught_features(recipe, images, captions, folder / FEATURES, report, default_device())
    minutes -= (time.monotonic() - started) / 60
    workers = recipe.workers or (1 if torch.cuda.is_available() else min(cores, recipe.schedule.batch))
    if workers == 1:
        _train_network(recipe, latents, scaling, captions, features, folder, report, minutes)
    else:
        del latents, features  # every process maps the files itself
        with tempfile.TemporaryDirectory() as meeting:
            _share(meeting, workers, (recipe, scaling, captions, folder, minutes))
    student = new_student(recipe)
    seen = load_student(student, folder)
    if seen <= recipe.schedule.coarse_samples and recipe.network == "unet":
        say("The outer level has not been trained yet: it is from coarse_samples on, up to samples.")
    complete = seen + recipe.schedule.batch > recipe.schedule.samples
    about = {"recipe": asdict(recipe), **origin.about(seen, dict(student.preset))}
    pipeline = assemble(vae, student, scaling, folder / "pipeline", about)
    draw_samples(pipeline, folder / "samples.png")
    return pipeline, complete


class Reporter:
    """Appends every row of losses to a JSON-lines file, and says the rows whose step is a multiple of 100."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self.path, self.say = path, say

    def __call__(self, row: dict) -> None:
        append(self.path, (json.dumps(row) + "\n").encode())
        if row["step"] % 100 == 0:
            shown = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float))
            self.say(f"{row['stage']} {row['step']}/{row['steps']}: {shown}")


def _train_network(
    recipe: Recipe,
    latents: np.ndarray,
    scaling: float,
    captions: list[str],
    features: np.ndarray | None,
    folder: Path,
    report: Reporter,
    minutes: float,
) -> None:
    keep_freed_memory()
    torch.manual_seed(recipe.seed)  # for the initial weights
    train_student(
        new_student(recipe),
        latents,
        scaling,
        captions,
        folder,
        report,
        features=features,
        seed=recipe.seed,
        minutes=minutes,
        checkpoint_minutes=recipe.checkpoint_minutes,
    )


def _share(meeting: str, workers: int, told: tuple[Any, ...]) -> None:
    """Train in `workers` processes. A UserError in one of them is raised here again."""
    try:
        mp.spawn(_share_training, (workers, meeting, *told), workers)  # type: ignore[attr-defined]
    except mp.ProcessExitedException as error:  # type: ignore[attr-defined]
        for path in sorted(Path(meeting).glob(f"{REFUSED}*")):
            raise UserError(path.read_text(encoding="utf-8")) from error
        raise


def _share_training(
    rank: int,
    world: int,
    meeting: str,
    recipe: Recipe,
    scaling: float,
    captions: list[str],
    folder: Path,
    minutes: float,
) -> None:
    """One of `world` processes with one thread each: on small matrices, processes wait less for one another than
    threads do.
    """
    # torch asks the system for this signal when the parent process ends; a shell's background job ignores it by
    # default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}/store", rank=rank, world_size=world)
    try:
        latents = map_array(folder / "latents.npy", np.float16, (len(captions), 4, None, None))
        features = None
        if recipe.schedule.alignment_weight:
            features = map_array(folder / FEATURES, np.float16, (len(captions), recipe.teacher.features, None, None))
        _train_network(
            recipe, latents, scaling, captions, features, folder, Reporter(folder / "losses.jsonl", print), minutes
        )
    except UserError as error:
        write_atomic(Path(meeting) / f"{REFUSED}{rank}", str(error).encode())
        raise SystemExit(2) from error
    finally:
        dist.destroy_process_group()


def _check_recipe(recipe: Recipe, folder: Path) -> None:
    """Raise UserError if `folder` holds the training of another recipe."""
    path = folder / RECIPE
    # A key that is newer than the training had the effect of its default.
    if path.is_file() and _filled(
        read_json(path, dict[str, Any]), _lasting(Recipe(network=recipe.network))
    ) != _lasting(recipe):
        raise UserError(f"{folder} holds the training of another recipe ({path}): use another --out")


def _filled(table: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    inner = {key: _filled(value, defaults.get(key, {})) for key, value in table.items() if isinstance(value, dict)}
    return {**defaults, **table, **inner}


def _lasting(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe that may not change within a training, in JSON's types. Its length may: a training can be
    prolonged.
    """
    table = json.loads(json.dumps(asdict(recipe)))
    for length in (table[recipe.table], table):
        # "crops" stays: all latents are from one autoencoder. The ends of the coarse part and of the whole may be
        # decided during training.
        for key in ("samples", "coarse_samples", "workers", "checkpoint_minutes"):
            length.pop(key, None)
    for name in NETWORKS.values():
        if name != recipe.table:
            del table[name]
    return table


def draw_samples(pipeline: Path, path: Path) -> None:
    """Draw two images of every class and write them as one picture, one row per seed."""
    pipe = load_model(str(pipeline)).pipe
    rows = []
    for seed in range(SHEET_SEEDS):
        result = pipe(
            [caption((c,), None) for c in CLASSES],
            num_inference_steps=SHEET_STEPS,
            guidance_scale=SHEET_GUIDANCE,
            generator=[torch.Generator().manual_seed(1000 * seed + i) for i in range(len(CLASSES))],
            output_type="np",
        )
        rows.append(np.concatenate(list(result.images), axis=1))  # type: ignore[union-attr]
    write_atomic(path, encoded((np.concatenate(rows) * 255).round().astype(np.uint8)))


def assemble(vae: AutoencoderKL, student: Student, scaling: float, folder: Path, about: dict) -> Path:
    """Write the pipeline to `folder` (replaced if it exists) as fp16 safetensors, with its classes and words in
    `seediff.json`.

    about: further entries of that file, such as samples seen, the recipe, and the history of the weights.
    """
    vae.register_to_config(scaling_factor=scaling)
    pipe = student.pipeline(vae)
    known = {"classes": CLASSES, "words": PLACE_WORDS, "licence": "MIT (art: Fluent Emoji, Microsoft)"}
    text = json.dumps({**known, **about}, indent=2)
    with replaced_folder(folder) as part:
        pipe.to(torch.float16).save_pretrained(part, safe_serialization=True)
        put(part / "seediff.json", f"{text}\n".encode())
    return folder
