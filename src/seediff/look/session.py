"""The actions of reviewers on a set's samples. Each is saved before it is confirmed, and sent to every window.

A sample's version is the number of its actions. An action names the version that it was made on. If somebody else was
faster, it is refused (`Stale`), and nothing is lost or overwritten.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..config.class_names import check_classes, reading_key
from ..dataset import native
from ..dataset.encoding import Instances
from ..dataset.reviews import (
    MADE,
    REVIEWED,
    Action,
    Verdict,
    append_action,
    mend,
    read_actions,
    reviewed_row,
)
from ..dataset.rows import as_row, check_class_list, shown_classes
from ..dataset.shapes.objects import follow
from ..errors import UserError
from ..files.output_folders import InUse, open_folder
from ..files.outputs import write_atomic
from ..files.reading import inside, read_bytes
from .index import Index
from .samples import Subject, original_mask

if TYPE_CHECKING:
    from ..evaluate.evaluation import Evaluation

KEEP: Literal["keep"] = "keep"
"""The verdict stays as it is."""
NewVerdict = Verdict | Literal["keep"] | None
Labels = np.ndarray | Callable[[np.ndarray], np.ndarray]
"""A corrected label map (H, W) uint8, or a function of the current one."""
ORIGINAL = "original"
"""The action that puts the first mask into effect again."""
STEPS = {"undo": -1, "redo": 1}
"""Actions that move along a sample's states."""


class SampleState(NamedTuple):
    """What an action leaves behind of a sample, in the order of `Action.state`. The original mask has no path."""

    verdict: Verdict | None
    mask: str | None = None
    hash: str | None = None
    classes: tuple[str, ...] = ()
    area: Mapping[str, float] = {}


@dataclass(frozen=True)
class Edit:
    """What somebody does to a sample. name: "undo" and "redo" move along its states."""

    name: str
    verdict: NewVerdict = KEEP
    labels: Labels | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


class Prepared(NamedTuple):
    """An action to save, and the PNG of its label map, if that is a new one."""

    action: Action
    label_map: bytes | None


class Stale(Exception):
    """Somebody else has changed sample `number` in the meantime."""

    def __init__(self, number: int) -> None:
        self.number = number


@dataclass
class History:
    """A sample's states; those after `at` were undone. The first is the original, None."""

    own_verdict: Verdict | None = None
    """The verdict in the original's row."""
    own_corrected: bool = False
    """Whether, by its row, a person corrected the original."""
    makers: dict[str, Action] = field(default_factory=dict)
    """Path of each new mask → the action that made it."""
    states: list[Action | None] = field(default_factory=lambda: [None])
    at: int = 0
    version: int = 0

    @property
    def now(self) -> Action | None:
        return self.states[self.at]

    @property
    def verdict(self) -> Verdict | None:
        return self.state(self.at).verdict

    @property
    def mask(self) -> str | None:
        """The path of the current mask; None for the original."""
        return self.state(self.at).mask

    @property
    def reviewed(self) -> bool:
        """Whether a person's verdict or correction is in effect."""
        if self.verdict:
            return True
        return self.maker.action != MADE if self.maker else self.own_corrected

    @property
    def maker(self) -> Action | None:
        """The action that made the current mask; None for the original."""
        return self.makers.get(self.mask or "")

    def follow(self, action: Action) -> None:
        """Apply an action, also one read from the file."""
        self.version = action.version
        if action.mask:
            self.makers.setdefault(action.mask, action)
        if action.action == "redrawn":  # nobody writes it any more: the sample got another picture
            self.states, self.at = [None], 0
            return
        step = STEPS.get(action.action, 0)
        if step and 0 <= self.at + step < len(self.states) and self.state(self.at + step) == action.state:
            self.at += step
            return
        del self.states[self.at + 1 :]
        self.states.append(action)
        self.at += 1

    def state(self, at: int) -> SampleState:
        action = self.states[at]
        return SampleState(*action.state) if action else SampleState(self.own_verdict)


class Session:
    """A set that is being reviewed. tell: called with every action's report, from the acting thread. against:
    predictions to show beside its masks. Raises UserError if another process reviews the set."""

    def __init__(
        self,
        subject: Subject,
        *,
        by: str,
        tell: Callable[[dict[str, Any]], None] = lambda report: None,
        against: Evaluation | None = None,
    ) -> None:
        self.subject, self.by, self.tell, self.against = subject, by, tell, against
        self.acted = 0
        self.lock = threading.RLock()
        self.read_only = ""
        """Why nothing can be saved; empty if it can."""
        self.histories: dict[int, History] = {}
        self.numbers = {sample.name: number for number, sample in enumerate(subject.samples)}

        # Only one process may write, if any
        self._stack = ExitStack()
        try:
            self._stack.enter_context(open_folder(subject.folder, (REVIEWED,)))
        except InUse:
            raise
        except UserError:
            self.read_only = "the folder is read-only: nothing can be saved"

        # What was done before
        try:
            actions = read_actions(subject.folder) if self.read_only else mend(subject.folder)
            names, rows = [one.name for one in subject.samples], [one.metadata for one in subject.samples]
            self.index = Index(subject.classes, names, rows, against.scores.images if against else {})
            for action in actions:
                number = self.numbers.get(action.sample)
                if number is None:
                    continue
                history = self.histories.pop(number, None) or self.history(number)
                history.follow(action)
                self.histories[number] = history  # the last that somebody acted on comes last
            for number in self.histories:
                self.index.update(number, self.row(number))
        except BaseException:
            self.close()
            raise

    def add_class(self, name: str) -> None:
        """Append a class to the set's classes.txt; every export has it. Raises UserError."""
        with self.lock:
            if self.read_only:
                raise UserError(self.read_only)
            subject = replace(self.subject, classes=(*self.subject.classes, name))
            alike = [present for present in self.subject.classes if reading_key(present) == reading_key(name)]
            check_classes([*alike, name], "class")
            check_class_list(subject.classes, "class")
            text = native.classes_text(subject.classes)
            write_atomic(inside(subject.folder, native.CLASSES), text, durable=True)
            self.subject = subject
            self.index.add_class(name)
        self.tell({"kind": "classes"})

    def close(self) -> None:
        """Release the folder."""
        with suppress(OSError):
            self._stack.close()

    def history(self, number: int) -> History:
        if number in self.histories:
            return self.histories[number]
        review = self.subject.samples[number].row.review
        return History(review.verdict, review.corrected)

    def row(self, number: int) -> dict[str, Any]:
        """A sample's current row."""
        history = self.history(number)
        row = self.subject.samples[number].metadata
        return reviewed_row(row, history.now, history.maker, self.subject.classes)

    def mask(self, number: int) -> str:
        """The path in the set of the current label map."""
        return self.history(number).mask or original_mask(self.subject.samples[number])

    def labels(self, number: int) -> np.ndarray:
        """The current label map (H, W) uint8. Raises UserError."""
        history = self.history(number)
        if history.mask is None:
            return self.subject.read_labels(self.mask(number))
        return self.subject.read_labels(history.mask, history.state(history.at).hash)

    def instances(self, number: int, labels: np.ndarray) -> Instances | None:
        """A sample's objects in a label map (H, W) of it; None if the set records none. Raises UserError."""
        sample = self.subject.samples[number]
        objects, mask = sample.instances, original_mask(sample)
        return objects and follow(objects, self.subject.read_labels(mask), labels, mask)

    def state(self, number: int) -> dict[str, Any]:
        """A sample's state for the page."""
        history, row = self.history(number), as_row(self.row(number))
        now, ids, sure = history.now, self.index.ids, self.index.of_mask["confidence"][number]
        unknown, score = np.isnan(sure) or row.review.replaced, self.index.miou[number]
        return {
            "index": number,
            "version": history.version,
            "verdict": history.verdict,
            "corrected": row.review.corrected,
            "made": row.review.made is not None,
            "original": not history.mask,
            "classes": [ids[name] for name in row.classes if name in ids],
            "flags": list(row.flags),
            "area": row.area,
            "confidence": None if unknown else round(float(sure), 3),
            "miou": None if np.isnan(score) else round(float(score), 4),
            "by": now.by if now else row.review.by or "",
            "time": now.time if now else "",
            "undo": history.at > 0,
            "redo": history.at + 1 < len(history.states),
        }

    def act(self, number: int, version: int, edit: Edit, window: str = "") -> dict[str, Any]:
        """Act on a sample, save the action, send it to all windows, and return the new state.

        version: the version that the edit was made on. What changes nothing is no action, and the version stays. Raises
        Stale, and UserError for an impossible edit.
        """
        with self.lock:
            prepared = self.prepare(number, version, edit)
            if prepared is not None:
                self.commit([prepared], window)
            return self.state(number)

    def prepare(self, number: int, version: int, edit: Edit) -> Prepared | None:
        """The action, as of `act`, to be saved; None if it changes nothing. Writes nothing."""
        with self.lock:
            history = self.history(number)
            if version != history.version:
                raise Stale(number)
            if self.read_only:
                raise UserError(self.read_only)
            prepared = self._action(number, history, edit)
            redrawn = edit.name == ORIGINAL or edit.labels is not None
            return None if redrawn and prepared.action.state == history.state(history.at) else prepared

    def commit(self, prepared: Sequence[Prepared], window: str = "") -> int:
        """Save prepared actions, their label maps first, in one write, which takes as long for many as for one, and
        send them to all windows. Returns how many: without those on samples that somebody changed in the meantime."""
        with self.lock:
            current: list[tuple[int, Action]] = []
            for action, label_map in prepared:
                number = self.numbers[action.sample]
                if self.history(number).version == action.version - 1:
                    current.append((number, action))
                    if label_map is not None and action.mask is not None:
                        write_atomic(inside(self.subject.folder, action.mask), label_map, durable=True)
            if current:
                append_action(self.subject.folder, *(action for _, action in current))
            for number, action in current:
                history = self.history(number)
                history.follow(action)
                self.histories[number] = history
                self.index.update(number, self.row(number))
            self.acted += len(current)
            states = [{"action": action.action, **self.state(number)} for number, action in current]
        for state in states:
            self.tell({"kind": "state", "window": window, **state})
        return len(current)

    def _action(self, number: int, history: History, edit: Edit) -> Prepared:
        label_map = None
        before = read_bytes(self.subject.mask_path(self.mask(number)))
        step = STEPS.get(edit.name, 0)
        if not 0 <= history.at + step < len(history.states):
            raise UserError(f"there is nothing to {edit.name}")
        state = history.state(history.at + step)
        if not step:
            if edit.name == ORIGINAL:
                state = history.state(0)._replace(verdict=state.verdict)
            if edit.verdict != KEEP:
                state = state._replace(verdict=edit.verdict)
            if edit.labels is not None:
                state, label_map = self._correct(number, history, state, edit.labels)
        action = Action(
            sample=self.subject.samples[number].name,
            version=history.version + 1,
            action=edit.name,
            made_of=hashlib.sha256(before).hexdigest(),
            by=self.by,
            time=datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            detail=dict(edit.detail),
            **state._asdict(),
        )
        return Prepared(action, label_map)

    def _correct(
        self, number: int, history: History, state: SampleState, labels: Labels
    ) -> tuple[SampleState, bytes | None]:
        """A sample's state with new labels, and their PNG; None if they are those that are there."""
        classes = self.subject.classes
        present = self.labels(number)
        corrected = labels(present) if callable(labels) else labels
        if corrected.shape != present.shape or corrected.dtype != np.uint8:
            raise UserError(f"the label map is {corrected.shape}, but the sample's is {present.shape}")
        counts = np.bincount(corrected.ravel(), minlength=256)
        if counts[len(classes) + 1 : 255].any():
            raise UserError(f"the label map has ids above {len(classes)}, the number of classes")
        if np.array_equal(corrected, present):
            return state, None
        path = f"{REVIEWED}/{self.subject.samples[number].name}.{history.version + 1}.png"
        data = native.encode_mask(corrected)
        shown, digest = shown_classes(counts, classes), hashlib.sha256(data).hexdigest()
        return SampleState(state.verdict, path, digest, tuple(shown["classes"]), shown["area"]), data
