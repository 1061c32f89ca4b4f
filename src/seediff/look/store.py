"""The actions of reviewers on a set's samples. Each action is saved before it is confirmed, and is reported to every
window.

A sample's version is the number of its actions. A request to act names the version that its window shows. If somebody
else has acted in the meantime, the request is refused (`Stale`), and nothing is lost or overwritten."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..config.class_names import check_classes, reading_key
from ..dataset import native
from ..dataset.encoding import encode_mask
from ..dataset.names import check_class_list
from ..dataset.reviews import REVIEWED, Action, Verdict, append_action, mend, read_actions, reviewed_row
from ..dataset.shapes.changes import objects_after
from ..dataset.shapes.objects import Objects
from ..errors import UserError
from ..files.outputs import InUse, open_folder, write_atomic
from ..files.reading import inside, read_bytes
from ..rows.row import Row, said, shown_classes
from .history import MOVES, History, Result
from .index import Index
from .pictures import OpenedSet, original_mask, title_of

if TYPE_CHECKING:
    from ..evaluate.evaluation import Evaluation

KEEP: Literal["keep"] = "keep"
"""Stands for: leave the verdict as it is."""
NewVerdict = Verdict | Literal["keep"] | None
Labels = np.ndarray | Callable[[np.ndarray], np.ndarray]
"""A corrected label map, (H, W) uint8, or a function that makes it from the current one."""


@dataclass(frozen=True)
class Edit:
    """What somebody does to a sample."""

    name: str
    """The name of the action in review.jsonl. The names "undo" and "redo" move along the sample's history."""
    verdict: NewVerdict = KEEP
    labels: Labels | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


class Prepared(NamedTuple):
    """An action to save. label_map: the bytes of its new label map, a PNG; None if the action makes no new one."""

    action: Action
    label_map: bytes | None


class Stale(Exception):
    """Somebody else has changed sample `number` in the meantime."""

    def __init__(self, number: int) -> None:
        self.number = number


class Session:
    """A set that somebody reviews. dataset: the set. by: the reviewer's name. tell: called with a report of every
    action, in the thread that acts. against: predictions to show beside the masks. Raises UserError if another process
    reviews the set."""

    def __init__(
        self,
        dataset: OpenedSet,
        *,
        by: str,
        tell: Callable[[dict[str, Any]], None] = lambda report: None,
        against: Evaluation | None = None,
    ) -> None:
        self.dataset, self.by, self.tell, self.against = dataset, by, tell, against
        self.acted = 0
        self.lock = threading.RLock()
        self.read_only = ""
        """Why nothing can be saved; "" if actions can be saved."""
        self.histories: dict[int, History] = {}
        self.numbers = {sample.name: number for number, sample in enumerate(dataset.samples)}

        # Only one process may write; in a read-only folder, no process can
        self._stack = ExitStack()
        try:
            self._stack.enter_context(open_folder(dataset.folder, (REVIEWED,)))
        except InUse:
            raise
        except UserError:
            self.read_only = "the folder is read-only: nothing can be saved"

        # What was done before
        try:
            actions = read_actions(dataset.folder) if self.read_only else mend(dataset.folder)
            names, rows = [one.name for one in dataset.samples], [one.row for one in dataset.samples]
            self.index = Index(dataset.classes, names, rows, against.scores.images if against else {})
            for action in actions:
                number = self.numbers.get(action.sample)
                if number is None:
                    continue
                history = self.history(number)
                history.apply(action)
                self.histories[number] = history
            for number in self.histories:
                self.index.update(number, self.row(number))
        except BaseException:
            self.close()
            raise

    def add_class(self, name: str) -> None:
        """Append a class to the set's classes.txt, so that every export has it, too. name: the class. Raises UserError
        for an unusable name."""
        with self.lock:
            if self.read_only:
                raise UserError(self.read_only)
            dataset = replace(self.dataset, classes=(*self.dataset.classes, name))
            alike = [present for present in self.dataset.classes if reading_key(present) == reading_key(name)]
            check_classes([*alike, name], "class")
            check_class_list(dataset.classes, "class")
            text = native.classes_text(dataset.classes)
            write_atomic(inside(dataset.folder, native.CLASSES), text, durable=True)
            self.dataset = dataset
            self.index.add_class(name)
        self.tell({"kind": "classes"})

    def close(self) -> None:
        """Release the folder."""
        with suppress(OSError):
            self._stack.close()

    def history(self, number: int) -> History:
        """The history of a sample. A new one is not kept here: `commit` keeps it with the first action."""
        if number in self.histories:
            return self.histories[number]
        review = self.dataset.samples[number].row.decided
        return History(Result(said(review.verdict)), bool(review.corrected))

    def row(self, number: int) -> Row:
        """A sample's row of metadata.jsonl with the changes that its actions made."""
        history = self.history(number)
        row = self.dataset.samples[number].row
        return reviewed_row(row, history.last, history.maker, self.dataset.classes)

    def mask(self, number: int) -> str:
        """The path in the set of the current label map."""
        return self.history(number).mask or original_mask(self.dataset.samples[number])

    def labels(self, number: int) -> np.ndarray:
        """The current label map (H, W) uint8. Raises UserError."""
        history = self.history(number)
        if history.mask is None:
            return self.dataset.read_labels(self.mask(number))
        return self.dataset.read_labels(history.mask, history.result.hash)

    def instances(self, number: int, labels: np.ndarray) -> Objects | None:
        """The objects of a sample in a label map; None if the set records no objects. labels: (H, W) uint8, the label
        map, perhaps corrected. Raises UserError."""
        sample = self.dataset.samples[number]
        objects, mask = sample.instances, original_mask(sample)
        return objects and objects_after(objects, self.dataset.read_labels(mask), labels, mask)

    def for_page(self, number: int) -> dict[str, Any]:
        """What the page shows of a sample in every view, as JSON: its title, classes, flags, scores and review."""
        history, row = self.history(number), self.row(number)
        last, ids = history.last, self.index.ids
        columns = {**self.index.of_mask, "miou": self.index.miou}
        scores = {name: float(column[number]) for name, column in columns.items()}
        if row.decided.replaced:
            scores |= dict.fromkeys(self.index.of_mask, math.nan)
        return {
            "index": number,
            "name": title_of(self.dataset.samples[number]),
            "version": history.version,
            "verdict": history.verdict,
            "corrected": bool(row.decided.corrected),
            "made": row.decided.remade,
            "classes": [ids[name] for name in row.named if name in ids],
            "flags": list(row.raised),
            "area": said(row.area) or {},
            **{name: None if math.isnan(score) else round(score, 4) for name, score in scores.items()},
            "by": last.by if last else said(row.decided.by) or "",
            "undo": history.can_move(-1),
            "redo": history.can_move(1),
        }

    def act(self, number: int, version: int, edit: Edit, window: str = "") -> dict[str, Any]:
        """Act on a sample, save the action, and report it to all windows. Returns what `for_page` returns afterwards.
        A new label map without a changed pixel is no action, and the version stays.

        version: the version that the window shows. edit: what to do. window: the name of the window that acts. Raises
        Stale if somebody else has acted since that version, and UserError for an impossible edit."""
        with self.lock:
            prepared = self.prepare(number, version, edit)
            if prepared is not None:
                self.commit([prepared], window)
            return self.for_page(number)

    def prepare(self, number: int, version: int, edit: Edit) -> Prepared | None:
        """The action that `act` would save; None for a new label map without a changed pixel. This writes nothing. It
        raises what `act` raises."""
        with self.lock:
            history = self.history(number)
            if version != history.version:
                raise Stale(number)
            if self.read_only:
                raise UserError(self.read_only)
            prepared = self._action(number, history, edit)
            if edit.labels is not None and prepared.action.result == history.result:
                return None
            return prepared

    def commit(self, prepared: Sequence[Prepared], window: str = "") -> int:
        """Save prepared actions, and report them to all windows. An action on a sample that somebody has changed in the
        meantime is not saved. Returns the number of saved actions.

        Label maps are saved first. Then one write saves all actions: it takes as long for many as for one. window: the
        name of the window that acts."""
        with self.lock:
            current: list[tuple[int, Action]] = []
            for action, label_map in prepared:
                number = self.numbers[action.sample]
                if self.history(number).version == action.version - 1:
                    current.append((number, action))
                    if label_map is not None and action.mask is not None:
                        write_atomic(inside(self.dataset.folder, action.mask), label_map, durable=True)
            if current:
                append_action(self.dataset.folder, *(action for _, action in current))
            for number, action in current:
                history = self.history(number)
                history.apply(action)
                self.histories[number] = history
                self.index.update(number, self.row(number))
            self.acted += len(current)
            shown = [{"action": action.action, **self.for_page(number)} for number, action in current]
        for sample in shown:
            self.tell({"kind": "state", "window": window, **sample})
        return len(current)

    def _action(self, number: int, history: History, edit: Edit) -> Prepared:
        before = read_bytes(self.dataset.mask_path(self.mask(number)))
        result, label_map = self._result(number, history, edit)
        action = Action(
            sample=self.dataset.samples[number].name,
            version=history.version + 1,
            action=edit.name,
            made_of=hashlib.sha256(before).hexdigest(),
            by=self.by,
            time=datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            detail=dict(edit.detail),
            **result._asdict(),
        )
        return Prepared(action, label_map)

    def _result(self, number: int, history: History, edit: Edit) -> tuple[Result, bytes | None]:
        """(result, label_map). result: the sample after an edit. label_map: the bytes of its new label map, a PNG; None
        if the edit makes no new one. Raises UserError for an impossible edit."""
        move = MOVES.get(edit.name, 0)
        if not history.can_move(move):
            raise UserError(f"there is nothing to {edit.name}")
        result = history.result_of(move)
        if move:
            return result, None
        if edit.verdict != KEEP:
            result = result._replace(verdict=edit.verdict)
        if edit.labels is None:
            return result, None
        return self._correct(number, history, result, edit.labels)

    def _correct(self, number: int, history: History, result: Result, labels: Labels) -> tuple[Result, bytes | None]:
        """What `_result` returns for corrected labels. result: the sample with the old label map. labels: the corrected
        labels. Raises UserError for labels of another size or with unknown ids."""
        classes = self.dataset.classes
        present = self.labels(number)
        corrected = labels(present) if callable(labels) else labels
        if corrected.shape != present.shape or corrected.dtype != np.uint8:
            raise UserError(f"the label map is {corrected.shape}, but the sample's is {present.shape}")
        counts = np.bincount(corrected.ravel(), minlength=256)
        if counts[len(classes) + 1 : 255].any():
            raise UserError(f"the label map has ids above {len(classes)}, the number of classes")
        if np.array_equal(corrected, present):
            return result, None
        path = f"{REVIEWED}/{self.dataset.samples[number].name}.{history.version + 1}.png"
        data = encode_mask(corrected)
        shown, digest = shown_classes(counts, classes), hashlib.sha256(data).hexdigest()
        return Result(result.verdict, path, digest, shown.classes, shown.area), data
