"""What was done to one sample: its actions in order, and which of them are in effect after undo and redo.

steps   original   brush   accept   relabel
                             ^ at: "relabel" was undone; any new action takes its place
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..dataset.reviews import REMADE, Action, Verdict

MOVES = {"undo": -1, "redo": 1}
"""Actions that move along a sample's history → the steps that they move."""


class Result(NamedTuple):
    """A sample after an action. The fields have the order of `Action.result`. mask: the path of the label map; None for
    the original one."""

    verdict: Verdict | None
    mask: str | None = None
    hash: str | None = None
    classes: tuple[str, ...] = ()
    area: Mapping[str, float] = {}


@dataclass
class History:
    """The actions on one sample, and which of them are in effect."""

    original: Result
    """The sample before all actions. Its verdict is the one in its row."""
    own_corrected: bool
    """Whether the original label map is a person's correction already, as the rows of a copied set may say."""
    makers: dict[str, Action] = field(default_factory=dict)
    """Path of each new mask → the action that made it."""
    steps: list[Action | None] = field(default_factory=lambda: [None])
    """The actions in order, after None for the original."""
    at: int = 0
    """The position in `steps` of the last action in effect. The actions after it were undone."""
    version: int = 0

    @property
    def last(self) -> Action | None:
        """The last action in effect; None for the original."""
        return self.steps[self.at]

    @property
    def result(self) -> Result:
        return self.result_of(0)

    @property
    def verdict(self) -> Verdict | None:
        return self.result.verdict

    @property
    def mask(self) -> str | None:
        """The path of the current mask; None for the original."""
        return self.result.mask

    @property
    def reviewed(self) -> bool:
        """Whether a person's verdict or correction is in effect."""
        if self.verdict:
            return True
        return self.maker.action != REMADE if self.maker else self.own_corrected

    @property
    def maker(self) -> Action | None:
        """The action that made the current mask; None for the original."""
        return self.makers.get(self.mask or "")

    def apply(self, action: Action) -> None:
        """Put an action into effect: a new one, or one read from review.jsonl. An undo or redo that does not lead to
        its own result, for example because somebody edited the file, is a step like any other."""
        self.version = action.version
        if action.mask:
            self.makers.setdefault(action.mask, action)
        move = MOVES.get(action.action, 0)
        if move and self.can_move(move) and self.result_of(move) == action.result:
            self.at += move
            return
        del self.steps[self.at + 1 :]
        self.steps.append(action)
        self.at += 1

    def can_move(self, move: int) -> bool:
        return 0 <= self.at + move < len(self.steps)

    def result_of(self, move: int) -> Result:
        """The sample as it is (move 0), as undo would leave it (−1), or as redo would leave it (1)."""
        action = self.steps[self.at + move]
        return Result(*action.result) if action else self.original
