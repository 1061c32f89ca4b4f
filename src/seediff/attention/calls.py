"""Which calls of a network are recorded, and which rows of their batches: those with the prompt.

Rows are members of a batch. Attention may have other rows than the network: one for each frame of a clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch

from ..errors import UserError
from ..models.families.family import NetworkInputs
from ..models.layer_choice import Kind
from .maps import Grid, grid_at
from .networks import leaves_out_half
from .plan import CapturePlan


class RecordedCalls:
    """What is known of the network's current call. guidance, total_steps: as in `capture_attention`."""

    def __init__(self, plan: CapturePlan, *, guidance: bool, total_steps: int | None = None) -> None:
        if plan.capture.steps == "second-half" and total_steps is None:
            raise ValueError("steps='second-half' needs total_steps")
        self.plan, self.config, self.family = plan, plan.capture, plan.family
        self.guidance, self.total_steps = guidance, total_steps
        self.restart_calls()

    def restart_calls(self) -> None:
        """Return to the state before the first call."""
        self.calls = 0
        """The number of calls until now."""
        self.step = -1
        """The number of calls with the prompt before this one."""
        self.recording = False
        """Whether this call is recorded."""
        self.chosen_rows: Sequence[int] | None = None
        """The rows, or clips, of the batch to record, which scripts set before every call (script/recording.py);
        None: those that `guidance` implies."""
        self.half_left_out = False
        """Whether the network may compute only the second half of its batch."""
        self.batch = 0
        """The number of rows, or clips, in the batch."""
        self.texts: int | None = None
        """The number of text columns in joint attention."""
        self.latent_size: Grid | None = None
        """(height, width) of L."""
        self.frames = 1
        """The number of latent frames of a clip, each of which has its own maps; 1 for images."""
        self.images: int | None = None
        """The number of images, or latent frames, that are recorded."""
        self.dtype = ""
        """The network's number format."""

    def begin_call(self, network: Any, inputs: NetworkInputs) -> None:
        """Decide whether to record a call, and what its rows are. Raises UserError for a call that does not go with the
        calls before."""
        batch, height, width = self.family.lattice(network, inputs)
        images = batch // 2 if self.halved else batch
        if self.chosen_rows is not None:
            images = len(self.chosen_rows)
        self.batch, self.frames = batch, self.family.frames(inputs)
        self.half_left_out = leaves_out_half(network)
        images, size = images * self.frames, (height, width)
        if self.latent_size is not None and (self.latent_size, self.images) != (size, images):
            problem = "the network drew pictures of several sizes, or numbers of pictures, in one run"
            raise UserError(problem, fix="use one `with` block for each")
        self.latent_size, self.images, self.dtype = size, images, str(network.dtype)
        if self.guidance and not self.halved and self.calls % 2 == 0:  # the second of two calls has no prompt
            self.pass_over()
            return
        self.step += 1
        every = self.config.steps
        if every == "second-half":
            assert self.total_steps is not None
            self.recording = self.step >= self.total_steps // 2
        else:
            self.recording = every == "all" or self.step % every == 0
        if self.recording and any(layer.is_joint for layer in self.plan.all_layers.values()):
            self.texts = self.family.text_columns_of_call(inputs)

    def pass_over(self) -> None:
        """Record nothing of this call."""
        self.recording = False

    @property
    def halved(self) -> bool:
        """Whether half of every batch has no prompt."""
        return self.guidance and self.family.prompted != "first call"

    @property
    def frames_of_row(self) -> int:
        """How many frames have their positions in one row of a batch."""
        if self.family.frames_in_rows:
            return 1
        return self.frames

    @property
    def rows_in_product(self) -> int:
        """How many rows attention has for the network's batch."""
        return self.batch * (self.frames // self.frames_of_row)

    def rows_of_product(self, count: int) -> Sequence[int] | None:
        """The rows with the prompt in a product with `count` rows; None: these are not the rows of the batch."""
        each, rows = self.frames // self.frames_of_row, self._recorded_rows
        if count == self.rows_in_product:
            return rows if each == 1 else [row * each + frame for row, frame in product(rows, range(each))]
        second_half = [*range(self.batch // 2, self.batch)]
        if self.half_left_out and 2 * count == self.rows_in_product and list(rows) == second_half:
            return range(count)
        return None

    @property
    def _recorded_rows(self) -> Sequence[int]:
        """The rows, or clips, of the network's batch that are recorded."""
        if self.chosen_rows is not None:
            return self.chosen_rows
        if not self.halved:
            return range(self.batch)
        half = self.batch // 2
        return range(half) if self.family.prompted == "first half" else range(half, self.batch)

    @staticmethod
    def choose(tensor: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Some rows of a batch (its first dimension), without a copy if they follow each other."""
        if rows == range(len(tensor)):
            return tensor
        if isinstance(rows, range):
            return tensor[rows.start : rows.stop]
        return torch.stack([tensor[row] for row in rows])  # a list of indices would be copied to the GPU at each call

    def positions(self, level: int = 1) -> int:
        """How many positions one row of a batch has at L / level."""
        assert self.latent_size is not None
        return self.frames_of_row * math.prod(grid_at(self.latent_size, level))

    def wants(self, kind: Kind, level: int = 1) -> bool:
        """Whether to record maps of this kind at L / level in this call."""
        levels = self.plan.reads.get(kind, ())
        return self.recording and (levels is None or level in levels)
