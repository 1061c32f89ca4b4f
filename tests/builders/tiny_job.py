"""A job for the engine that imports very little: 20 short texts in batches of two. A test decides what happens
meanwhile.
"""

import os
import signal
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from seediff.config.settings import RunConfig
from seediff.dataset import native
from seediff.dataset.writing import Encoded
from seediff.files.outputs import write_atomic
from seediff.rows.row import Row
from seediff.run.job import Job, Made, Ready
from seediff.run.loop import run
from seediff.run.output import Loaded

IMAGES = native.IMAGES


@dataclass(frozen=True, kw_only=True)
class TinyConfig(RunConfig):
    command: ClassVar[str] = "tiny"

    batch_size: int = 2
    items: int = 20


@dataclass(frozen=True, eq=False)
class TinyJob(Job[TinyConfig, int]):
    """Each item's file names its batch. trouble: is called with each item before the item's file is written."""

    ends = ("all.txt",)
    runs_model = False
    classes = ()

    trouble: Callable[[int], None] | None = None

    def items(self):
        return range(self.config.items)

    def load(self):
        return Ready(Loaded(f"{self.config.seed:08x}"))

    def make(self, ready, items):
        return Made([partial(self.encoded, items, item) for item in items])

    def encoded(self, items, item):
        if self.trouble:
            self.trouble(item)
        text = f"{item} of {list(items)} with seed {self.config.seed}".encode()
        row = Row(rest={"item": item, "crc": zlib.crc32(text)})
        return Encoded(str(item), row, {f"{IMAGES}/{item:06d}.txt": text})

    def complete(self, rows, about, out):
        write_atomic(out / "first.txt", (out / IMAGES / "000000.txt").read_bytes())
        write_atomic(out / self.ends[0], native.jsonl(rows))


def tiny(
    out,
    trouble=None,
    *,
    engine=None,
    progress=None,
    config=None,
):
    """Run the job; returns the number of items that it did."""
    return run(TinyJob(config or TinyConfig(), trouble=trouble), out, engine=engine, progress=progress).done


@dataclass(frozen=True)
class Trouble:
    """Things that happen before certain items: the process is killed the first time or every time, or the disk is full.

    folder: each process that does a batch leaves a file there, named by its id. seconds: the time for each item, until
    `folder` has a file "hurry".
    """

    folder: Path
    kill_once: int = -1
    kill_always: int = -1
    fill_disk: int = -1
    seconds: float = 0.02

    def __call__(self, item):
        (self.folder / str(os.getpid())).touch()
        time.sleep(0 if (self.folder / "hurry").exists() else self.seconds)
        if item == self.fill_disk:
            raise OSError(28, "No space left on device", "images/x")
        killed = self.folder / "killed"
        if item == self.kill_always or (item == self.kill_once and not killed.exists()):
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def processes(self):
        return {int(path.name) for path in self.folder.iterdir() if path.name.isdigit()}
