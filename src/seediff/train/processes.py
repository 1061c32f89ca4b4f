"""Training in one process, or in several with a GPU each (`accelerate launch -m seediff train …`), which Ctrl-C stops
together after the current step."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..dataset.formats.format_table import load_extra


@dataclass(frozen=True)
class Processes:
    """rank: this process's number, from 0 to count − 1. accelerator: accelerate's, if there are several processes."""

    rank: int = 0
    count: int = 1
    accelerator: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def prepare(self, module: nn.Module) -> nn.Module:
        """The module that averages gradients over all processes."""
        if self.accelerator is None:
            return module
        return self.accelerator.prepare_model(module)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes, each of which has a part of the batch."""
        if self.accelerator is None:
            return values
        return self.accelerator.reduce(values, reduction="mean")

    def any(self, here: bool) -> bool:
        """Whether something is true in any process; here: in this one. All get the same answer at the same step."""
        if self.accelerator is None:
            return here
        return bool(self.mean(torch.tensor(float(here), device=self.accelerator.device)) > 0)

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


def find_processes(device: str | None) -> Processes:
    """The processes announced by a launcher in the environment. device: `cpu` also disables GPUs in accelerate."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    accelerator = load_extra("accelerate", "train").Accelerator(cpu=device == "cpu")
    return Processes(accelerator.process_index, accelerator.num_processes, accelerator)


SAME = 1.0
"""Seconds within which a second interrupt counts as the first: launchers send the terminal's Ctrl-C again."""


class Interrupts:
    """Holds an interrupt back, so that a step can be finished and saved first. Another, more than SAME seconds later,
    takes effect at once.
    """

    def __init__(self) -> None:
        self.before: Callable[[int, Any], Any] | None = None
        self.first: float | None = None

    @property
    def asked(self) -> bool:
        """Whether an interrupt is held back."""
        return self.first is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold interrupts back during the block, if Python handles them in this thread. One that is held back at its
        end ends the training then."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return
        self.before = before
        signal.signal(signal.SIGINT, self._hold)
        try:
            yield
        except RuntimeError as error:
            if not self.asked:
                raise
            raise KeyboardInterrupt from error  # other processes ended after Ctrl-C, before their first step
        finally:
            signal.signal(signal.SIGINT, before)
        if self.asked:
            raise KeyboardInterrupt

    def _hold(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = now
        elif now - self.first > SAME and self.before is not None:
            self.before(number, frame)
