"""One process, or several with a GPU each: `accelerate launch -m seediff train …`. One process does without accelerate."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..dataset.formats.known import load_extra


@dataclass(frozen=True)
class Processes:
    """rank: this one's number, of count. accelerator: accelerate's, where there are several."""

    rank: int = 0
    count: int = 1
    accelerator: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def prepare(self, module: nn.Module) -> nn.Module:
        """The module that averages gradients over all processes."""
        return module if self.accelerator is None else self.accelerator.prepare_model(module)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Over all processes: each has its part of a batch."""
        return values if self.accelerator is None else self.accelerator.reduce(values, reduction="mean")

    def any(self, said: bool) -> bool:
        """Whether one of the processes says so; all learn it, and at the same step."""
        return said if self.accelerator is None else bool(self.mean(torch.tensor(float(said), device=self.accelerator.device)) > 0)

    def wait(self) -> None:
        """Until every process is here."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


def find_processes(device: str | None) -> Processes:
    """Those that a launcher announced in the environment. device: the one asked for; `cpu` also where there are others."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    accelerator = load_extra("accelerate", "train").Accelerator(cpu=device == "cpu")
    return Processes(accelerator.process_index, accelerator.num_processes, accelerator)
