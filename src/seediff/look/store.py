"""The store: a set, and what people did to its samples. review.jsonl is the truth, from which everything else follows.

    edit ──prepare──▶ action ──act──▶ review.jsonl, SampleState ──▶ row, label map

An action is saved before it is confirmed. A sample's version is the number of its actions. A request to act names the
version that its window shows. If another window has acted in the meantime, the request is refused, and nothing is lost
or overwritten.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from ..config.class_names import check_classes, reading_key
from ..dataset import native
from ..dataset.class_lists import check_class_list
from ..dataset.dataset import Dataset
from ..dataset.encoding import encode_mask, encode_objects
from ..dataset.reviews import REVIEWED, Action, Verdict, append_action, mend, now, read_actions, reviewed_row
from ..dataset.sample import Sample, repainted
from ..dataset.shapes.changes import objects_after
from ..dataset.shapes.objects import Objects, find_objects
from ..errors import UserError
from ..files.outputs import InUse, open_folder, write_atomic
from ..files.reading import Json, composed, inside, read_bytes
from ..rows.doubt import changed_since, doubt
from ..rows.row import SCORES, Row
from ..rows.values import ids_by_name, shown_classes
from .sample_pictures import Cache

if TYPE_CHECKING:
    from ..config.settings import RunConfig

VERDICTS: dict[str, Verdict | None] = {"accept": "accepted", "reject": "rejected", "reset": None}
"""Action → the verdict that it gives. Other actions leave the verdict as it is."""


@dataclass(frozen=True)
class SampleState:
    """A sample after its actions."""

    number: int
    """The sample's position in the set."""
    sample: Sample
    """The sample as it was made, before any review."""
    steps: tuple[Action, ...]
    """The actions in order, after one that stands for the sample as it was made. The last one counts; the others can be
    restored."""

    @property
    def last(self) -> Action:
        return self.steps[-1]

    @property
    def version(self) -> int:
        return self.last.version

    @property
    def mask(self) -> str:
        """The path in the set of the current label map."""
        return self.last.mask or self.sample.row.mask_file_name or ""

    def at(self, version: int) -> Action:
        """The action of a version. Raises UserError."""
        for step in self.steps:
            if step.version == version:
                return step
        raise UserError(f"there is no version {version} of this sample")

    def row(self, classes: Sequence[str]) -> Row:
        """The sample's row of metadata.jsonl with the changes that its actions made. classes: the set's."""
        return reviewed_row(self.sample.row, self.last, classes)


def as_made(number: int, sample: Sample) -> SampleState:
    """The state of a sample before all actions. number: its position in the set."""
    review = sample.row.review_or_empty
    made = Action(sample=sample.name, version=0, action="", verdict=review.verdict, by=review.by or "")
    return SampleState(number, sample, (made,))


@dataclass(frozen=True)
class Edit:
    """What somebody does to a sample."""

    name: str
    """The name of the action in review.jsonl, such as one of VERDICTS."""
    labels: Callable[[np.ndarray], np.ndarray] | None = None
    """Makes the new label map, (H, W) uint8, from the current one."""
    made: Json | None = None
    """The constants of the method that makes the label map; None if a person does."""
    objects: Callable[[Objects, np.ndarray], Objects] | None = None
    """Makes the new objects from the current ones and the label map, (H, W) uint8."""
    to: int | None = None
    """The version to restore, for an undo or redo."""


class Prepared(NamedTuple):
    """An action to save. number: the sample's. files: path in the set → bytes of the new label map and object map, if
    the action makes any."""

    number: int
    action: Action
    files: Mapping[str, bytes]


DOUBT = "doubt"
"""The name of the order of doubt on the page."""
STALE = "another window has changed it in the meantime"


class Store:
    """A native dataset that somebody reviews. folder: the dataset. by: the reviewer's name. looking: names the model
    that divides images into segments; None: the one that made them. Raises UserError for an unusable set, and if
    another process reviews it."""

    def __init__(self, folder: Path, *, by: str, looking: RunConfig | None = None) -> None:
        self.folder = folder
        self.by = by
        self.looking = looking
        self.acted = 0
        self.read_only = ""
        """Why nothing can be saved; "" if actions can be saved."""
        self.lock = threading.RLock()
        self.states: dict[int, SampleState] = {}
        """Number of a sample with actions → its state."""

        # What answers keep in memory; all of it can be made again
        self.thumbs: Cache[bytes] = Cache(64 << 20, len)
        self.configs: Cache[RunConfig] = Cache(64)
        self.attention: Cache[Any] = Cache(1 << 30, lambda attention: attention.nbytes)
        """Number of a sample → its `SampleAttention`, which was saved or captured again; (number, "alone") → that of
        its picture without words."""

        self.segments: Cache[np.ndarray] = Cache(128 << 20, lambda labels: labels.nbytes)
        """(number of a sample, index of a threshold) → its segments to click."""

        # Only one process may write, and reads the set when it alone may; in a read-only folder, no process can
        native.check_native(folder)
        self._stack = ExitStack()
        try:
            self._stack.enter_context(open_folder(folder, (REVIEWED,)))
        except InUse:
            raise
        except UserError:
            self.read_only = "the folder is read-only: nothing can be saved"

        # What was done before
        try:
            actions = read_actions(folder) if self.read_only else mend(folder)  # before classes, which may get more
            made = Dataset.open(folder, "native", as_made=True)
            self.classes, self.samples = made.classes, made.samples
            numbers = {sample.name: number for number, sample in enumerate(self.samples)}
            for action in actions:
                number = numbers.get(action.sample)
                if number is not None:
                    self._add(number, action)
            self.doubts = doubt([sample.row for sample in self.samples]).tolist()
            """The order of doubt when the set was opened: it stays while people work through it."""
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the folder."""
        with suppress(OSError):
            self._stack.close()

    def add_class(self, name: str) -> None:
        """Append a class to classes.txt. Raises UserError for an unusable name."""
        name = composed(name)
        with self.lock:
            if self.read_only:
                raise UserError(self.read_only)
            alike = [own for own in self.classes if reading_key(own) == reading_key(name)]
            check_classes([*alike, name], "class")
            classes = (*self.classes, name)
            check_class_list(classes, "class")
            write_atomic(inside(self.folder, native.CLASSES), native.classes_text(classes), durable=True)
            self.classes = classes

    # One sample.

    def state(self, number: int) -> SampleState:
        """The state of a sample. Raises UserError if the set has no sample of this number."""
        if number >= len(self.samples):
            raise UserError(f"there is no sample {number}")
        return self.states.get(number) or as_made(number, self.samples[number])

    def reviewed(self, state: SampleState) -> Sample:
        """The sample after its actions, as every command reads it. Raises UserError."""
        return native.reviewed_sample(self.folder, state.sample, state.last, self.classes)

    def labels(self, state: SampleState) -> np.ndarray:
        """The current label map (H, W) uint8. Raises UserError."""
        return self.reviewed(state).labels(len(self.classes))

    def for_page(self, number: int) -> Json:
        """What the page shows of a sample in every view: its title, classes, flags, scores and review. The title is the
        file of a photograph, or the name of a generated picture."""
        state = self.state(number)
        ids = ids_by_name(self.classes)
        row = state.row(self.classes)
        last = state.last
        return {
            "index": number,
            "name": str(row.source or last.sample),
            "version": state.version,
            "verdict": last.verdict,
            "corrected": bool(row.review_or_empty.corrected),
            "divided": bool(row.review_or_empty.divided),
            "made": row.review_or_empty.remade,
            "classes": [ids[name] for name in row.class_names if name in ids],
            "flags": list(row.flag_list),
            "area": row.area or {},
            "by": last.by,
            **{key: worst(row, key) for key in SCORES},
            DOUBT: round(self.doubts[number], 4) if row.support or row.confidence else None,
        }

    def changed_since(self) -> int:
        """How many masks were changed or came after the last run of `doubt`."""
        rows = [self.state(number).row(self.classes) for number in range(len(self.samples))]
        return changed_since([one.row.support is not None for one in self.samples], rows)

    # Actions.

    def _add(self, number: int, action: Action) -> None:
        state = self.state(number)
        self.states[number] = replace(state, steps=(*state.steps, action))

    def act(self, samples: Sequence[tuple[int, int]], edit_of: Callable[[SampleState], Edit]) -> Json:
        """Act on samples, and save the actions together. Returns what `for_page` returns of each afterwards, and for
        each sample that stays as it was why: number → reason, "" for an edit that changes nothing.

        samples: the number of each, and the version that the window shows. edit_of: makes the edit of a sample. It may
        raise UserError. Label maps are saved first. Then one write saves all actions: it takes as long for many as for
        one."""
        if self.read_only:
            raise UserError(self.read_only)
        if len({number for number, _ in samples}) < len(samples):
            raise UserError("a request names a sample twice")
        refused = dict[int, str]()
        prepared = list[Prepared]()
        for number, version in samples:
            state = self.state(number)
            try:
                made = self.prepare(state, edit_of(state)) if state.version == version else STALE
            except UserError as error:
                made = str(error)
            if isinstance(made, Prepared):
                prepared.append(made)
            else:
                refused[number] = made or ""
        with self.lock:
            late = [one for one in prepared if self.state(one.number).version != one.action.version - 1]
            refused.update({one.number: STALE for one in late})
            current = [one for one in prepared if one not in late]
            for _, _, files in current:
                for path, data in files.items():
                    write_atomic(inside(self.folder, path), data, durable=True)
            if current:
                append_action(self.folder, *(action for _, action, _ in current))
            for number, action, _ in current:
                self._add(number, action)
            self.acted += len(current)
            return {"samples": [self.for_page(number) for number, _ in samples], "refused": refused}

    def prepare(self, state: SampleState, edit: Edit) -> Prepared | None:
        """The action of an edit, to save; None if it changes nothing. This writes nothing. state: the sample's. Raises
        UserError for an impossible edit."""
        before = read_bytes(inside(self.folder, state.mask))
        step = state.last
        files = dict[str, bytes]()
        if edit.to is not None:
            step = state.at(edit.to)
        elif edit.labels or edit.objects:
            step, files = self._correct(state, edit)
        action = msgspec.structs.replace(
            step,
            version=state.version + 1,
            action=edit.name,
            verdict=VERDICTS.get(edit.name, step.verdict),
            made_of=hashlib.sha256(before).hexdigest(),
            by=self.by,
            time=now(),
        )
        if all(getattr(action, key) == getattr(state.last, key) for key in ("verdict", "mask", "objects")):
            return None
        return Prepared(state.number, action, files)

    def _correct(self, state: SampleState, edit: Edit) -> tuple[Action, dict[str, bytes]]:
        """(step, files). step: the last step of a sample with its mask or objects corrected. files: as in `Prepared`.
        Raises UserError for labels of another size or with unknown ids."""
        present = self.labels(state)
        corrected = present
        if edit.labels:
            corrected = edit.labels(present)
        if corrected.shape != present.shape or corrected.dtype != np.uint8:
            raise UserError(f"the label map is {corrected.shape}, but the sample's is {present.shape}")
        counts = np.bincount(corrected.ravel(), minlength=256)
        if counts[len(self.classes) + 1 : 255].any():
            raise UserError(f"the label map has ids above {len(self.classes)}, the number of classes")
        step = state.last
        files = dict[str, bytes]()
        name = f"{REVIEWED}/{state.sample.name}.{state.version + 1}"
        if not np.array_equal(corrected, present):
            data = files[f"{name}.png"] = encode_mask(corrected)
            shown = shown_classes(counts, self.classes)
            step = msgspec.structs.replace(
                step,
                mask=f"{name}.png",
                hash=hashlib.sha256(data).hexdigest(),
                classes=shown.classes,
                area=shown.area,
                made=edit.made,
            )
        if not edit.objects and not (files and step.objects):
            return step, files
        before = self.reviewed(state).objects(present)
        objects = objects_after(before, present, corrected)
        if edit.objects:
            objects = edit.objects(before, present)
        # Objects that follow from the label map need no object map
        numbers = find_objects(corrected, 1, objects).numbers
        following = repainted(state.sample, corrected, state.sample.row).objects(corrected)
        if np.array_equal(numbers, following.numbers):
            step = msgspec.structs.replace(step, objects="")
        elif files or not np.array_equal(numbers, before.numbers):
            step = msgspec.structs.replace(step, objects=f"{name}.objects.png")
            files[step.objects] = encode_objects(objects, f"sample '{step.sample}'")
        return step, files


def worst(row: Row, key: str) -> float | None:
    """The worst value of a score of masks; None if it is unknown, as for a mask that replaced the original. row: the
    sample's current row. key: the score's, one of SCORES."""
    of_classes = getattr(row, key)
    return round(min(of_classes.values()), 4) if of_classes else None
