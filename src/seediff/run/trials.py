"""Finds how many pictures fit into a GPU's memory at once, by making two batches before a run begins.

As in a run, masks of the first are made while the second is captured; what was captured of both is held to the end, so
that it does not matter how soon the masks are ready. Nothing of it is kept. Calls are not recorded as CUDA graphs: a
recording that does not fit is given up by itself (models/graphs.py).
"""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..models.graphs import without_graphs
from .loop import AnyJob, writing_thread


def fitting_size(job: AnyJob, network: Any) -> int:
    """The size of batches that fit into the memory of the GPU of a loaded job: that of its configuration, its half, its
    quarter, and so on down to 1, which is not tried. network: of the job's model."""
    size, count = job.config.batch_size, len(job.items())
    while size > 1 and not _fits(job, network, min(size, count)):
        size //= 2
        while size > max(count - 1, 1):  # a larger one would make the same batch again
            size //= 2
    return size


def _fits(job: AnyJob, network: Any, count: int) -> bool:
    """Whether two batches of `count` items fit."""
    fits = True
    try:
        with without_graphs(network), tempfile.TemporaryDirectory(prefix="seediff-") as scratch:
            _make_two(job, count, Path(scratch))
    except torch.OutOfMemoryError:
        fits = False
    except UserError:
        pass  # what else is wrong, the run tells
    gc.collect()  # what the error held
    torch.cuda.empty_cache()
    return fits


def _make_two(job: AnyJob, count: int, out: Path) -> None:
    """Make two batches of `count` items."""
    trial, batch = job.trial(count)
    with writing_thread(job.device or job.config.device) as write:
        first = trial.capture(batch)
        written = write(trial, first, out)
        second = trial.capture(batch)
        written.result()
        del first, second
