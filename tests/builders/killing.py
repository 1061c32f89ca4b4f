"""Makes a run meet a limit on file sizes, kills it at random moments, again and again, then lets it finish:
`python killing.py OUT KILLS SEED`.

Prints the exit code at the limit, the number of half-written files that it left, how many runs were killed, and the
exit code at the end.

It is a separate process, which imports everything once and forks a child for every attempt, before anything has used
torch's threads.
"""

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import torch
from fake_engine import fake_draw

from seediff import report
from seediff.config.generate_config import GenerateConfig
from seediff.masks import make_masks as masks
from seediff.run.generate_job import generate

PRELOADED = (masks, report)
"""Imported here, so that no child has to."""
KILLED_WITHIN = 0.25  # seconds
# minimum seconds; at this rate, the 168 files of samples take longer than ten kills, however fast the machine is
WRITE = 0.015

CONFIG = GenerateConfig(
    classes=("dog", "cat", "bus"),
    per_class=14,
    batch_size=3,
    reject=True,
    attempts=2,
    keep_soft=True,
    keep_attention=True,
)


def child(out, file_limit=None):
    """Start a run in a forked process, which may not write files larger than `file_limit` bytes. Exit code 5: it met
    that limit.
    """
    process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
        try:
            os.replace = slowly(os.replace)
            generate(CONFIG, out, draw=fake_draw)
        except OSError:
            os._exit(5)
        os._exit(0)
    return process


def slowly(replace):
    """The same function, delayed, so that most kills come while a file is half-written or not yet renamed."""

    def slow(*arguments, **options):
        time.sleep(WRITE)
        replace(*arguments, **options)

    return slow


def main(out, kills, seed):
    # 1. Files over the system's limit: the nearest thing to a full disk that needs no disk.
    _, status = os.waitpid(child(out, file_limit=2000), 0)
    limited = os.waitstatus_to_exitcode(status)
    parts = len(list(out.rglob("*.part")))

    # 2. Kills.
    moments = random.Random(seed)
    killed = 0
    for _ in range(kills):
        process = child(out)
        time.sleep(moments.uniform(0.0, KILLED_WITHIN))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        killed += os.WIFSIGNALED(status)

    # 3. Completion.
    _, status = os.waitpid(child(out), 0)
    print(limited, parts, killed, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
