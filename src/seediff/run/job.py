"""`Job`: the work of a command that makes its output batch by batch. It is a value, and four functions say what it is:

check()             refuses values that cannot work, at once
load()              what a process needs to make batches
make(ready, items)  a batch: everything of the network is done, masks and files wait in `Made`
about(left_out)     the facts about the whole output

`ModelJob`: a job that runs a model of `load_model`. It plans (`plan`) what it will do with the model, as far as the
model's small files, or the loaded model, say.

loop.py does the rest: it finds what an output lacks, has the model loaded, and commits each batch that is written.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from ..attention.plan import CapturePlan
from ..config.settings import Config, ModelConfig
from ..dataset import native
from ..dataset.writing import Encoded, complete_set
from ..files.names import CARD, PREVIEW
from ..models.describe import ModelInfo, describe_model
from ..models.registry import Model
from ..models.saving_memory import Offload
from ..report.set_summary import SetFacts
from ..rows.row import Row
from ..version import __version__
from .output import BatchRecord, Loaded, RunResult
from .plan import Plan, check_values, load_planned

Item = TypeVar("Item")
"""An item of a batch, such as the specification of a sample."""
Self = TypeVar("Self", bound="AnyJob")
SelfOfModel = TypeVar("SelfOfModel", bound="AnyModelJob")
EncodeSample = Callable[[], Encoded]
"""Makes the masks of a sample, its row and its files. Another thread may call it while the next batch is made."""
_TIMING = threading.Lock()


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


@dataclass(frozen=True)
class Ready:
    """What a process needs to make a job's batches."""

    loaded: Loaded = field(default_factory=Loaded)
    """What was loaded, for seediff.toml."""
    model: Any = None
    """The loaded model or segmenter; None for a job that runs none."""
    plan: Plan | None = None
    """The plan of the loaded model."""
    say: Callable[[str], None] = lambda _: None
    """Shows what happens inside of a batch."""

    def of_model(self) -> tuple[Model, CapturePlan]:
        """The loaded model, and the plan of what is captured of it."""
        assert self.model is not None
        assert self.plan is not None
        return self.model, self.plan.capture


@dataclass(frozen=True)
class Made:
    """A batch after everything of the network is done."""

    samples: Sequence[EncodeSample]
    left_out: Sequence[Row] = ()
    """The rows about what did not become a sample."""

    def write(self, out: Path, timer: Timer) -> BatchRecord:
        """Write the batch's files into the folder `out`, one sample after the other. Returns their record. timer: the
        job's."""
        record = BatchRecord(left_out=list(self.left_out))
        for encode in self.samples:
            sample = encode()
            with timer("writing"):
                record.write_sample(out, sample)
        return record


@dataclass(frozen=True)
class Job(ABC, Generic[Config, Item]):
    """The work of one command.

    A batch must depend only on the configuration and on its number, never on which files exist already. Then a killed
    run can continue, and several processes can share the batches; each loads its own copy of the model.
    """

    left_out_file: ClassVar[str] = ""
    """The file in the output with the rows about what did not become a sample, such as failed.jsonl; "": there is
    none."""

    ends: ClassVar[tuple[str, ...]] = native.METADATA, CARD, PREVIEW
    """The files that `complete` writes, in this order. The first has the rows. A run that makes something removes the
    last one first, so an output with all of them is finished."""

    explained: ClassVar[bool] = True
    """Whether `look` shows how each mask was made."""
    counts_none: ClassVar[bool] = False
    """Whether the summary counts the pictures that show none of the classes."""

    config: Config
    device: str | None = field(default=None, kw_only=True)
    """The device that the user named, with the number of a GPU if the user gave one; `config` has no number."""
    timer: Timer = field(default_factory=Timer, compare=False, kw_only=True)

    @property
    def runs_on(self) -> str | None:
        """The device of the model, with the number of a GPU if the user gave one."""
        return self.device or self.config.device

    @property
    def runs_model(self) -> bool:
        """Whether a network runs. If not, nothing depends on the device, number format and threads: they stay open."""
        return True

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """The classes of the dataset."""

    @abstractmethod
    def items(self) -> Sequence[Item]:
        """All items of the output, in order."""

    @property
    def count(self) -> int:
        """The number of items."""
        return len(self.items())

    def check(self) -> None:
        """Raise UserError for values that cannot work, before anything large is read."""

    @abstractmethod
    def load(self) -> Ready:
        """What a process needs to make batches. Raises UserError."""

    @abstractmethod
    def make(self, ready: Ready, items: Sequence[Item]) -> Made:
        """A batch. When this returns, everything of the network is done."""

    def about(self, left_out: Sequence[Row]) -> SetFacts:
        """Facts about the whole run for the dataset card and the page. They have no times and no paths, so that they
        are reproducible. left_out: the rows about what did not become a sample."""
        method = getattr(self.config, "method", "")
        entries = {"model": self.config.model_label, "method": method, "version": __version__}
        return SetFacts(entries, getattr(self.config, "prompts", ()))

    @cached_property
    def doubts(self) -> Sequence[str]:
        """Warnings about doubtful results."""
        return ()

    def remarks(self, result: RunResult) -> list[str]:
        """Lines about a finished output, for the summary."""
        return []

    @cached_property
    def batches(self) -> Mapping[int, Sequence[Item]]:
        """Batch number → items."""
        items = self.items()
        return {number: [items[i] for i in batch] for number, batch in enumerate(self.config.batches(len(items)))}

    def with_config(self: Self, config: Any) -> Self:
        """The job with another configuration of the same work, such as one with this machine's device."""
        return replace(self, config=config, device=self.runs_on)

    def resolved(self) -> Config:
        """The configuration with this machine's device, number format and, on the CPU, threads. These decide
        rounding."""
        import torch

        from ..devices import default_device  # imports torch

        device = self.config.device or default_device()
        threads = torch.get_num_threads() if device == "cpu" else None
        return self.config.filled(device=device, dtype=self.usual_dtype(device), threads=threads)

    def usual_dtype(self, device: str) -> str:
        """The default number format of the network on a device."""
        return "float32"

    def __getstate__(self) -> dict[str, Any]:
        """The job's state for another process, perhaps on another machine. It leaves out what is found and made once,
        such as the list of items, which may be millions: that process does it again."""
        kind = type(self)
        cached = {name for name in vars(self) if isinstance(getattr(kind, name, None), cached_property)}
        return {name: value for name, value in vars(self).items() if name not in cached}

    def complete(self, rows: Sequence[Row], facts: SetFacts, out: Path) -> None:
        """Write the files about the whole output. rows: of all batches. facts: from `about`."""
        complete_set(out, self.classes, rows, facts)


@dataclass(frozen=True)
class ModelJob(Job[ModelConfig, Item]):
    """A job that runs a model of `load_model`."""

    info: ModelInfo | None = None
    """The model, if it was found already."""
    offload: Offload = "none"
    """As in `load_model`."""

    @cached_property
    def model_info(self) -> ModelInfo:
        """The model, as far as its small files describe it. Raises UserError."""
        return self.info or describe_model(self.config.model, self.config.base)

    def check(self) -> None:
        """Raise UserError for values that do not fit each other or the model's small files. Imports no torch."""
        config: Any = self.config
        check_values(config, self.model_info)

    @abstractmethod
    def plan(self, model: ModelInfo | Model) -> Plan | None:
        """What the job will do with a model, whose weights may not be loaded yet. Raises UserError for everything that
        cannot work, as far as the model shows it, besides what `check` refuses. None: what is captured is not known, or
        nothing is."""

    def contents(self) -> Iterator[str]:
        """Lines of a dry run about what is asked for. The first says what would be made: "9 images in 2 batches"."""
        yield from ()

    def load(self) -> Ready:
        """Load the model, after a plan of its files, and plan again. Raises UserError."""
        if not self.runs_model:
            return Ready()
        self.check()
        config = replace(self.config, device=self.runs_on)
        model, weights, plan = load_planned(config, self.model_info, self.plan, self.offload)
        return Ready(Loaded(weights, gpu_of(self.runs_on)), model, plan)

    def with_config(self: SelfOfModel, config: Any) -> SelfOfModel:
        info = vars(self).get("model_info", self.info)  # what was found once stays
        return replace(self, config=config, info=info, device=self.runs_on)

    def usual_dtype(self, device: str) -> str:
        from ..devices import default_dtype  # imports torch

        return default_dtype(device, self.model_info.family.half)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "info": None}  # its files may be elsewhere on another machine


AnyJob = Job[Any, Any]
AnyModelJob = ModelJob[Any, Any]


def gpu_of(device: str | None) -> str:
    """The name of the GPU of a device; "" for other devices."""
    if not (device or "").startswith("cuda"):
        return ""
    from ..devices import gpu_name  # imports torch

    return gpu_name(str(device))
