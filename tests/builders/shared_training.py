"""Trainings of mini that two processes share (`python shared_training.py ART FOLDER`): first a whole one in the folder,
then one beside it whose processes sleep, and must end with the process that started them.

It is a separate process, which imports everything once and forks where a training spawns, before anything has used
torch's threads.
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
    denoiser=Denoiser(
        channels=(16, 16, 16),
        heads=(1, 1, 2),
        text_width=16,
        samples=12,
        coarse_samples=4,
        batch=4,
        grouping_words_from=0,
    ),
)
SHORT = dataclasses.replace(TINY, denoiser=dataclasses.replace(TINY.denoiser, samples=8))


def complete(art: Path, folder: Path) -> None:
    """Train to the end, then continue with a damaged checkpoint. Prints whether the training is complete, and the
    error.
    """
    recipe = dataclasses.replace(SHORT, workers=2)
    print(train.train_mini(recipe, art, folder, say=lambda _: None)[1])
    (folder / "denoiser.safetensors").write_bytes(b"torn")
    try:
        train.train_mini(recipe, art, folder, say=lambda _: None)
    except UserError as error:
        print(error)


def wait_deaf(folder: Path) -> None:
    """Ignore interrupts, as a shell's background job does, and start two processes that sleep for ten minutes; each
    makes a file first.
    """

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
    complete(*map(Path, sys.argv[1:]))
    sys.stdout.flush()
    wait_deaf(Path(sys.argv[2]).parent)
