"""The classes of a set that somebody reviews. A class is added to classes.txt. Other names are actions in review.jsonl,
so that ids in masks, and the masks that an undo brings back, keep their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..config.class_names import SEGMENT, check_classes, reading_key
from ..dataset import native
from ..dataset.names import check_class_list
from ..dataset.renames import renamed_row
from ..dataset.reviews import RENAME, Action, append_action, class_names, names_given, now
from ..errors import UserError
from ..files.outputs import write_atomic
from ..files.reading import composed, inside
from ..rows.row import Row

SAME_IDS = np.arange(256, dtype=np.uint8)


class ClassNames:
    """folder: the set. listed: its classes in classes.txt. actions: what people did about the set, the oldest first."""

    def __init__(self, folder: Path, listed: tuple[str, ...], actions: Sequence[Action]) -> None:
        self.folder, self.listed = folder, listed
        self.renames = [action for action in actions if action.action == RENAME]
        self.names: tuple[str, ...] = listed
        """The present name of each class; "" for a removed one."""
        self.removed: set[str] = set()
        """Classes, as listed, that are removed wherever no mask shows them."""

    def update(self, rows: Iterable[Row]) -> None:
        """Find the present names. rows: the current rows of all samples, with the listed names."""
        shown = {name for row in rows for name in row.shown}
        self.removed = {name for name, new in class_names(self.listed, self.renames, ()).items() if not new}
        self.names = tuple(class_names(self.listed, self.renames, shown).values())

    def renamed(self, row: Row) -> Row:
        """A row with the present names. row: with the listed ones."""
        if self.names == self.listed:
            return row
        return renamed_row(row, dict(zip(self.listed, self.names, strict=True)), SAME_IDS)

    def shows_others(self, changed: Iterable[Row], present: np.ndarray) -> bool:
        """Whether a removed class is in a mask again, or in none any more. changed: the changed rows, with the listed
        names. present: (classes + 1,) bool, whether a mask shows each id by its present name."""
        if not self.removed:
            return False
        hidden = {name for name, new in zip(self.listed, self.names, strict=True) if not new}
        lingering = [self.listed.index(name) + 1 for name in self.removed - hidden]
        return not present[lingering].all() or any(hidden.intersection(row.shown) for row in changed)

    def add(self, name: str, by: str) -> None:
        """Append a class to classes.txt, so that every export has it, too; or bring a removed one back. name: the
        class. by: who adds it. Raises UserError for an unusable name."""
        name = composed(name)
        for own, given in names_given(self.listed, self.renames).items():
            if name and name in given and not self._present(own):
                self._check(name, own)
                return self._save(own, name, by)
        self._check(name)
        listed = (*self.listed, name)
        check_class_list(listed, "class")
        write_atomic(inside(self.folder, native.CLASSES), native.classes_text(listed), durable=True)
        self.listed = listed
        return None

    def give_name(self, class_id: int, name: str, by: str) -> None:
        """Give a class another name. name: "" removes the class wherever no mask shows it. by: who does it. Raises
        UserError for an unusable name."""
        own, name = self.listed[class_id - 1], composed(name)
        if name:
            if SEGMENT in (own, name):
                raise UserError(f"{SEGMENT} is the name of segments without a class; no class gets or loses it")
            self._check(name, own)
        self._save(own, name, by)

    def ids_of_names(self) -> dict[str, int]:
        """Each name that a class has or had → its id in classes.txt."""
        ids: dict[str, int] = {}
        for number, given in enumerate(names_given(self.listed, self.renames).values(), 1):
            ids.update(dict.fromkeys(filter(None, given), number))
        return ids

    def _present(self, name: str) -> str:
        """The present name of a class; "" for a removed one. name: as listed."""
        return self.names[self.listed.index(name)]

    def _check(self, name: str, own: str = "") -> None:
        """Raises UserError for a name that a class cannot get, such as one that another class has, or once had: older
        exports call it so. own: the class as listed; "" for a new one."""
        given = {other: names for other, names in names_given(self.listed, self.renames).items() if other != own}
        key = reading_key(name)
        for other, names in given.items():
            alike = [old for old in names if old and reading_key(old) == key]
            if alike and not self._present(other):
                raise UserError(f"{alike[-1]} is the name of a removed class; add it first")
        present = {self._present(other): names for other, names in given.items()}
        check_classes([*(other for other in present if other and reading_key(other) == key), name], "class")
        for other, names in present.items():
            if name in names:
                raise UserError(f"{name} was the name of {other}; choose another one")

    def _save(self, name: str, new: str, by: str) -> None:
        """Save the present name of a class. name: as listed. by: who gives it."""
        version, detail = len(self.renames) + 1, {"class": name, "name": new}
        action = Action(sample="", version=version, action=RENAME, by=by, time=now(), detail=detail)
        append_action(self.folder, action)
        self.renames.append(action)
