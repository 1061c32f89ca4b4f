"""Trains twice, once undisturbed and once killed twice: `python killed.py UNDISTURBED KILLED`. Prints how many runs
were killed.

It is a separate process, which imports everything once and forks a child for every attempt, before anything has used
torch's threads.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from shapes import CLASSES, items, small

from seediff.train import models, run
from seediff.train.stages import Stage

PRELOADED = (models,)
STEPS = 9


def child(out):
    process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        stages = [Stage(items(6), CLASSES, steps=6), Stage(items(4, first=20), CLASSES, steps=3, name="finetune")]
        run.train(
            small(architecture="segformer", ema=0.9),
            stages,
            out,
            validation=items(2, first=40),
            validate_every=3,
            save_every=2,
        )
        os._exit(0)
    return process


def rows(out):
    return len((out / "losses.csv").read_text().splitlines()) if (out / "losses.csv").is_file() else 0


def main(undisturbed, out):
    assert os.waitpid(child(undisturbed), 0)[1] == 0
    killed = 0
    for target in (6, 8):  # lines, with the header: after steps 5 and 7, each one step after a checkpoint
        process = child(out)
        while rows(out) < target:
            time.sleep(0.002)
        os.kill(process, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(process, 0)[1])
    assert os.waitpid(child(out), 0)[1] == 0
    print(killed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
