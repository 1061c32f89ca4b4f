"""A training of mini that two processes share, and one that ends with the process that started it: `python shared_training.py ART FOLDER`
and `python shared_training.py FOLDER`.

A process of its own, which imports everything once and forks where a training spawns: nothing has used torch's threads before a fork.
"""

from __future__ import annotations

import dataclasses
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recipes.mini import train
from recipes.mini.recipe import Autoencoder, Denoiser, Recipe, Teacher
from seediff.errors import UserError

TINY = Recipe(
    side=64,
    scenes=12,
    workers=1,
    autoencoder=Autoencoder(channels=(8, 8, 8), crops=8, batch=4),
    teacher=Teacher(samples=8, batch=4, features=8),
    denoiser=Denoiser(channels=(16, 16, 16), heads=(1, 1, 2), text_width=16, samples=12, coarse_samples=4, batch=4, grouping_words_from=0),
)
SHORT = dataclasses.replace(TINY, denoiser=dataclasses.replace(TINY.denoiser, samples=8))


def complete(art: Path, folder: Path) -> None:
    """Train to the end, and go on with a checkpoint that is damaged; says what that ends in."""
    recipe = dataclasses.replace(SHORT, workers=2)
    print(train.train_mini(recipe, art, folder, say=lambda _: None)[1])
    (folder / "denoiser.safetensors").write_bytes(b"torn")
    try:
        train.train_mini(recipe, art, folder, say=lambda _: None)
    except UserError as error:
        print(error)


def wait_deaf(folder: Path) -> None:
    """Start two processes that never end, as a shell's background job does, deaf to interrupts; each leaves a file when it has begun."""

    def waits(*_: Any) -> None:
        (folder / f"{time.monotonic_ns()}.begun").touch()
        time.sleep(600)

    train._train_network = waits
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    np.save(folder / "latents.npy", np.zeros((1, 4, 16, 16), np.float16))
    train._share(str(folder), 2, (Recipe(denoiser=Denoiser(alignment_weight=0.0)), 1.0, ["a dog"], folder, 1.0))


if __name__ == "__main__":
    torch.set_num_threads(1)
    train.mp.spawn = partial(train.mp.start_processes, start_method="fork")  # type: ignore[attr-defined]
    train.draw_samples = lambda pipeline, path: None
    (complete if len(sys.argv) == 3 else wait_deaf)(*map(Path, sys.argv[1:]))
