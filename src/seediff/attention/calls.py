"""Reads the calls of a network: their sizes, which rows have the prompt, and whether they are recorded.

A call is one run of the network. A step is a call with the prompt, counted from 0. The network's batch has rows: each
image or clip has one row with the prompt and, under guidance, another row without it. Attention's batch has members:
the rows, or in some networks each frame of each row. For example, two clips of 4 frames, with guidance:

                                            rows   members   frames in a member
    AnimateDiff (`Family.frames_in_rows`)      4        16                    1
    CogVideoX                                  4         4                    4
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch

from ..errors import UserError
from ..models.families.family import Family
from ..models.families.inputs import CallShape
from ..models.hooks import NetworkInputs
from ..models.layers import grid_at
from .plan import CapturePlan
from .which_rows import Encoded, Texts, find_rows, given_states, states_of

KNOWN_CALLS = 3
"""For how many calls of the network the rows are remembered. The next step's calls may have the same states."""


@dataclass(frozen=True, kw_only=True)
class NetworkCall(CallShape):
    """A call of the network."""

    step: int
    """The number of calls with the prompt before this one."""
    rows: range | tuple[int, ...]
    """The numbers of the rows with the prompt, whose attention is recorded."""
    texts: Sequence[Texts] = ()
    """The texts of each of these rows; empty if all rows are recorded."""
    frames_in_member: int = 1
    """The number of frames whose positions are in one member of attention's batch."""
    dtype: str = ""
    """The network's number format."""
    thread: int = field(default_factory=threading.get_ident)
    """The thread in which the network runs."""

    @property
    def layout(self) -> tuple[Any, ...]:
        """All that decides where the picture is in a product. Two calls with one layout have it at the same places."""
        columns = self.text_columns, self.other_columns
        return self.batch, self.rows, self.lattice, self.frames, self.frames_in_member, *columns

    @property
    def images(self) -> int:
        """The number of recorded images, or of latent frames of clips."""
        return len(self.rows) * self.frames

    @property
    def members(self) -> int:
        """The number of members of attention's batch."""
        return self.batch * self.frames // self.frames_in_member

    def recorded_members(self, count: int) -> Sequence[int] | None:
        """The numbers of the members with the prompt, in a product of attention with `count` members. None if this call
        has another number of members."""
        if count != self.members:
            return None
        members_in_row = self.frames // self.frames_in_member
        if members_in_row == 1:
            return self.rows
        return [row * members_in_row + number for row, number in product(self.rows, range(members_in_row))]

    def positions(self, level: int) -> int:
        """The number of positions of a member at L / level."""
        return self.frames_in_member * math.prod(grid_at(self.lattice, level))


NO_CALL = NetworkCall(0, 0, 0, None, step=-1, rows=())
"""In place of the latest call, before the first one."""


def make_call(
    family: Family, shape: CallShape, rows: Sequence[int], texts: Sequence[Texts], *, step: int, dtype: str
) -> NetworkCall:
    """The call of a network. family: the network's. shape: from `Family.call_shape`. Others: the fields of
    `NetworkCall`."""
    span = range(rows[0], rows[-1] + 1)  # capture takes a range of rows without a copy
    return NetworkCall(
        **vars(shape),
        step=step,
        rows=span if len(span) == len(rows) else tuple(rows),
        texts=texts,
        frames_in_member=1 if family.frames_in_rows else shape.frames,
        dtype=dtype,
    )


def check_same(earlier: NetworkCall, call: NetworkCall) -> None:
    """Raise UserError for two calls of one run that draw pictures of other sizes, or another number of them, or that
    are shown others."""
    if (earlier.lattice, earlier.images) != (call.lattice, call.images):
        problem = "the network drew images of several sizes, or numbers of images, in one run"
        raise UserError(problem, fix="use one `with` block for each")
    if earlier.shown != call.shown:
        problem = "is shown other images in some of its calls"
        raise UserError("the network", problem, "show the same in all")


class CallReader:
    """Reads the calls of a network, one after the other: which rows have the prompt, and which steps are recorded.

    plan: what is captured. total_steps: the number of calls with the prompt; `steps="second-half"` needs it.
    """

    def __init__(self, plan: CapturePlan, total_steps: int | None) -> None:
        self._plan = plan
        self._total_steps = total_steps
        self.count = 0
        """The number of calls with the prompt so far."""
        self.latest = NO_CALL
        self._known: list[tuple[list[Any], list[int], dict[int, int]]] = []
        """(states, their versions, rows) of the last KNOWN_CALLS calls. It keeps these states alive, so that no other
        states can take their place in memory."""
        self._places: torch.Tensor | None = None
        """The first call's places (`Family.places_input`), which count for all: reading them waits for the GPU."""

    def read(self, network: Any, inputs: NetworkInputs, prompt: Encoded | None) -> NetworkCall | None:
        """Read the network's next call. Returns it if it is recorded, otherwise None.

        network: the module. inputs: the call's arguments, by name. prompt: the encoded prompts of the pictures, whose
        rows are recorded; None: all rows. Raises UserError if the pictures have another size or number than in earlier
        calls, or if which rows draw them is unknown.
        """
        # 1. The rows
        texts: Sequence[Texts] = ()
        numbers: dict[int, int] = {}
        if prompt is not None:
            numbers = self._numbers(inputs, prompt)
            texts = [*map(prompt.texts_of, numbers.values())]
            if not numbers:
                return None

        # 2. The call
        family = self._plan.family
        shape = family.call_shape(network, self._with_known_places(inputs))
        dtype = self.latest.dtype or str(network.dtype)  # asked once: it walks through all modules
        call = make_call(family, shape, [*numbers] or range(shape.batch), texts, step=self.count, dtype=dtype)
        if self.latest is not NO_CALL:
            check_same(self.latest, call)
        self.latest = call
        self.count += 1
        return call if self._is_recorded(call.step) else None

    def _numbers(self, inputs: NetworkInputs, prompt: Encoded) -> dict[int, int]:
        """Row → the number of its prompt, for the rows of a call that have one. The same states as in one of the last
        calls are not compared again, because comparing waits for the GPU."""
        states = given_states(inputs)
        parts = [states] if isinstance(states, torch.Tensor) else [*states]  # a list may change
        # A version counts how often a tensor was changed in place; PyTorch does not count in `inference_mode`.
        versions = [part._version for part in parts if not part.is_inference()]
        for known, known_versions, numbers in self._known:
            if [*map(id, known)] == [*map(id, parts)] and known_versions == versions:
                return numbers
        numbers = find_rows(prompt, states_of(self._plan.family, inputs))
        if len(versions) == len(parts):
            self._known = [(parts, versions, numbers), *self._known[: KNOWN_CALLS - 1]]
        return numbers

    def _with_known_places(self, inputs: NetworkInputs) -> NetworkInputs:
        """The inputs of a call, with the places of the first one, whose pictures are known."""
        name = self._plan.family.places_input
        if not name:
            return inputs
        if self._places is None or self._places.shape != inputs[name].shape:
            self._places = inputs[name].detach().clone()
        return {**inputs, name: self._places}

    def _is_recorded(self, step: int) -> bool:
        """Whether `capture.steps` chooses this step."""
        chosen = self._plan.capture.steps
        if chosen == "second-half":
            assert self._total_steps is not None
            return step >= self._total_steps // 2
        return chosen == "all" or step % chosen == 0
