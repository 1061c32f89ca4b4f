"""Reads and writes review.jsonl: what people decided about the samples of a set, and the masks that they corrected.

    set/  review.jsonl             one line per action; lines are only ever added
          reviewed/000003.2.png    the mask that the second action about sample 000003 made; the original stays
          reviewed/000003.2.objects.png    the object map after the action, if the objects do not follow from the masks

Every line holds the full state of its sample after the action, so only the last line about it counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ..config.fields import Share
from ..errors import UserError
from ..files.messages import plural
from ..files.outputs import append, write_atomic
from ..files.reading import Json, inside, parse_json, read_bytes
from ..rows.row import Review, Row
from ..rows.values import UNLABELLED, area_flags, ids_by_name

REVIEWS, REVIEWED = "review.jsonl", "reviewed"
REMADE = "made"
"""The action that makes a mask by a method."""
Verdict = Literal["accepted", "rejected"]
_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One line of review.jsonl: what a person did about a sample, and the sample's full state afterwards."""

    sample: Annotated[str, msgspec.Meta(min_length=1)]
    """The sample's name."""
    version: Annotated[int, msgspec.Meta(ge=1)]
    """The number of the action among the actions about the sample: 1, 2, …"""
    action: str
    """What the person did, such as accept, brush or undo."""
    verdict: Verdict | None = None
    made_of: _Hash | None = msgspec.field(default=None, name="from")
    """The SHA-256 of the mask's file before the action."""
    mask: str | None = None
    """The path of the corrected mask in the set; None if the original is in use."""
    hash: _Hash | None = None
    """The SHA-256 of the corrected mask's file."""
    classes: tuple[str, ...] = ()
    area: dict[str, Share] = {}
    by: str = ""
    """The person."""
    time: str = ""
    """When, in UTC."""
    made: Json | None = None
    """The constants of the method that made the corrected mask; None if a person did."""
    objects: str = ""
    """The path of the object map in the set, a file as in instances/; "" if the objects follow from the label map."""

    def __post_init__(self) -> None:
        if self.mask is not None and self.hash is None:
            raise UserError("a corrected 'mask' must have its 'hash'")


def read_actions(folder: Path) -> list[Action]:
    """All actions of the dataset `folder`, the oldest first. An incomplete last line is skipped. Any other damage
    raises UserError."""
    return _read(inside(folder, REVIEWS))[0]


def mend(folder: Path) -> list[Action]:
    """Like `read_actions`, but also removes an incomplete last line from the file. The process must hold the folder's
    lock."""
    path = inside(folder, REVIEWS)
    actions, data, whole = _read(path)
    if whole != data:
        write_atomic(path, whole)
    return actions


def _read(path: Path) -> tuple[list[Action], bytes, bytes]:
    """(actions, data, whole): the actions, the file's bytes, and the bytes of its complete lines."""
    data = whole = read_bytes(path) if path.exists() else b""
    last = data[data.rfind(b"\n") + 1 :]
    if last.startswith(b"{"):
        try:
            parse_json(last, Json, REVIEWS)
        except UserError:
            whole = data[: -len(last)]
    lines = enumerate(whole.split(b"\n"), 1)
    actions = [parse_json(line, Action, f"{path}, line {number}") for number, line in lines if line.strip()]
    if whole and not whole.endswith(b"\n"):
        whole += b"\n"
    return actions, data, whole


def now() -> str:
    """The time, as actions have it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def append_action(folder: Path, *actions: Action) -> None:
    """Appends a line for each action, or none at all if this fails. The lines are on the disk when this returns."""
    text = ""
    for action in actions:
        values = msgspec.to_builtins(action).items()
        line = {name: value for name, value in values if value not in ((), {}, "")}
        text += json.dumps(line, ensure_ascii=False) + "\n"
    append(inside(folder, REVIEWS), text.encode("utf-8"), durable=True)


def reviewed_row(row: Row, action: Action, classes: Sequence[str]) -> Row:
    """A row of metadata.jsonl in the state after the last action about its sample.

        the last action                      the row
        leaves verdict and mask as they were stays as it is
        the original mask is in use          gets `review` with the verdict and the person; it says `divided` if the
                                             person cut or joined objects
        a mask that a person drew is in use  gets the classes and areas of this mask and no flags; its `review` says
                                             corrected
        a mask of a method is in use         gets the classes and areas of this mask, and flags by area; its `review`
                                             has the method's constants as `made`

    action: the last one. classes: the classes of the set. A row with another mask than the original loses what
    describes the original (`Row.of_other_mask`). Raises UserError for an action that names a class which the set does
    not have.
    """
    own = row.review_or_empty
    # Everything was undone
    if (action.verdict, action.mask, action.objects) == (own.verdict, None, ""):
        return row
    divided = own.divided or bool(action.objects) or None
    review = Review(verdict=action.verdict, corrected=bool(own.corrected), divided=divided, by=action.by)
    # The original mask is in use
    if action.mask is None:
        return reviewed_as_is(row, msgspec.structs.replace(review, made=own.made))
    # Another mask is in use
    ids = ids_by_name(classes)
    for name in action.classes:
        if name not in ids:
            raise UserError(REVIEWS, f"sample '{action.sample}': class '{name}' is not a class of the set")
    flags = list[str]()  # flags are about masks that nobody looked at
    if action.made is not None:
        area = {name: action.area.get(name, 0.0) for name in action.classes}
        flags = area_flags(area, 1 - sum(area.values()))
    return row.of_other_mask(
        mask_file_name=action.mask,
        classes=action.classes,
        class_ids=tuple(ids[name] for name in action.classes),
        area=action.area,
        flags=tuple(flags),
        review=msgspec.structs.replace(review, corrected=action.made is None, made=action.made),
    )


def reviewed_as_is(row: Row, review: Review) -> Row:
    """The row with a review that leaves its mask as it is. A row that is accepted loses the flag `unlabelled`, because
    an accepted mask is a label even if it is empty."""
    row = row.replace(review=review)
    if review.verdict == "accepted" and UNLABELLED in row.flag_list:
        row = row.replace(flags=tuple(flag for flag in row.flag_list if flag != UNLABELLED))
    return row


def left_out_notes(reasons: Iterable[str]) -> list[str]:
    """A line for each reason why samples are left out, such as "2 rejected samples left out". reasons: what
    `Row.why_left_out` returned for each sample."""
    counts = sorted(Counter(filter(None, reasons)).items())
    return [f"{plural(count, f'{reason} sample')} left out" for reason, count in counts]
