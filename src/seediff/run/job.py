"""`Job`: the work of a command that makes its output batch by batch. loop.py calls its methods in this order:

run       check_values, resolved, load; for each batch capture, then encode of each sample; finish, read_result
dry run   check_values, describe (its first line), check, describe (its other lines)
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..config.settings import MACHINE, Config
from ..dataset import native
from ..dataset.writing import Encoded
from ..models.describe import ModelInfo, describe
from ..models.locate import find_model
from ..models.saving_memory import Offload
from ..rows.row import Row
from .output import BatchRecord, Loaded

Item = TypeVar("Item")
"""An item of a batch, such as the specification of a sample."""
Captured = TypeVar("Captured")
"""What is captured of a sample: `Job.encode` makes its row and files of it."""
_TIMING = threading.Lock()


@dataclass(frozen=True)
class CapturedBatch(Generic[Captured]):
    """A batch after everything that needs the model."""

    samples: Sequence[Captured]
    left_out: Sequence[Row] = ()
    """A row about each item that did not become a sample, such as a photograph that could not be read."""


class Timer(dict[str, float]):
    """Name of a part of a run → its seconds, summed over threads and processes."""

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Count the seconds of this block for the part `what`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add({what: time.perf_counter() - start})

    def add(self, seconds: Mapping[str, float]) -> None:
        with _TIMING:
            for what, more in seconds.items():
                self[what] = self.get(what, 0.0) + more

    def take(self) -> Mapping[str, float]:
        """The seconds so far. The timer begins again at zero."""
        taken = dict(self)
        self.clear()
        return taken


class Job(ABC, Generic[Config, Item, Captured]):
    """The work of one command.

    A batch must depend only on the configuration and on its number, never on which files exist already. Then a killed
    run can continue, and several processes can share the batches; each loads its own copy of the job. Only `run`
    replaces `config`: first by the configuration in the output, then by one with this machine's device.
    """

    left_out: tuple[str, str] = "", ""
    """(field, file): a field of `RunResult`, and the file in the output with its rows, about what did not become a
    sample. For example ("failed", "failed.jsonl"), about photographs that could not be used."""
    runs_model = True
    """Whether a model runs. If not, nothing depends on the device, number format and threads: they stay open."""

    def __init__(self, config: Config, info: ModelInfo | None = None, offload: Offload = "none") -> None:
        """info: the model, if it was found already. offload: as in `load_model`."""
        self.config = config
        self.offload: Offload = offload
        if info is not None:
            self.info = info  # takes the place of the cached property
        self.device = config.device
        """The device that the user named, with the number of a GPU if the user gave one."""
        self.timer = Timer()

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """All items of the output, in order."""

    @cached_property
    def batches(self) -> Mapping[int, Sequence[Item]]:
        """Batch number → items."""
        items = self.items()
        return {number: [items[i] for i in batch] for number, batch in enumerate(self.config.batches(len(items)))}

    @cached_property
    def info(self) -> ModelInfo:
        """The model, as far as its small files describe it. Raises UserError."""
        return describe(find_model(self.config.model, self.config.base))

    def resolved(self) -> Config:
        """The configuration with this machine's device, number format and, on the CPU, threads. These decide
        rounding."""
        import torch

        from ..devices import default_device  # imports torch

        device = self.config.device or default_device()
        threads = torch.get_num_threads() if device == "cpu" else None
        return self.config.filled(MACHINE, device=device, dtype=self.usual_dtype(device), threads=threads)

    def usual_dtype(self, device: str) -> str:
        """The default number format of the model on a device."""
        from ..devices import default_dtype  # imports torch

        return default_dtype(device, self.info.family.half)

    def __getstate__(self) -> dict[str, Any]:
        """The job's state for another process, perhaps on another machine. It leaves out the model and the list of
        items, which may be millions: that process finds and makes them again."""
        kind = type(self)
        cached = {name for name in vars(self) if isinstance(getattr(kind, name, None), cached_property)}
        return {name: value for name, value in vars(self).items() if name not in cached}

    def check_values(self) -> None:
        """Raise UserError for wrong values that can be found without torch, whose import takes seconds."""

    def check(self) -> None:
        """For a dry run: raise UserError for what `load` would refuse, if the model's small files already show it."""

    def describe(self, verbose: bool) -> Iterator[str]:
        """The lines of `--dry-run`. The first line says what would be made, for example "9 images in 2 batches, each of
        512×512"; it comes before `check`, the others after. verbose: also name captured layers and all settings."""
        yield from ()

    def load(self) -> str:
        """Load the model, and check everything that could fail later. `run` calls it only if a batch is missing.
        Returns the fingerprint of the model's weights, "" without a model."""
        return ""

    def loaded(self) -> Loaded:
        """Load the model, and say what was loaded."""
        weights, device = self.load(), self.device or self.config.device or ""
        if not device.startswith("cuda"):
            return Loaded(weights)
        from ..devices import gpu_name  # imports torch

        return Loaded(weights, gpu_name(device))

    @abstractmethod
    def capture(self, batch: Sequence[Item]) -> CapturedBatch[Captured]:
        """The first step of a batch: everything that needs the model."""

    @abstractmethod
    def encode(self, captured: Captured) -> Encoded:
        """The second step of a batch, for each of its samples: its masks and files. A thread may do this while the next
        batch is captured."""

    def write(self, captured: CapturedBatch[Captured], out: Path) -> BatchRecord:
        """Write the files of a captured batch into `out`. Returns their record."""
        record = BatchRecord(left_out=[*captured.left_out])
        for one in captured.samples:
            encoded = self.encode(one)
            with self.timer("writing"):
                record.add(out, encoded)
        return record

    def rebatch(self, size: int) -> None:
        """Make batches of this size from now on, because larger batches do not fit into the machine's memory."""
        self.config = self.config.changed(MACHINE, batch_size=size)
        vars(self).pop("batches", None)

    def make_batch(self, number: int, out: Path) -> BatchRecord:
        return self.write(self.capture(self.batches[number]), out)

    @abstractmethod
    def finish(self, rows: Sequence[Row], left_out: Sequence[Row], out: Path) -> None:
        """Write the files about the whole output, the configuration's `last_file` last. rows, left_out: the rows of all
        batches, as in `BatchRecord`."""

    def read_result(self, out: Path) -> dict[str, Any]:
        """The fields of `RunResult` that are in the finished output: `rows`, and the field that `left_out` names. Pages
        for people that somebody removed are written again."""
        field, file = self.left_out
        result: dict[str, Any] = {"rows": native.read_rows(out)}
        if (out / file).is_file():
            result[field] = native.read_rows(out, file)
        return result


AnyJob = Job[Any, Any, Any]
