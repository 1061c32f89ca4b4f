"""What the rows of a dataset say together, as figures and lines: the page, the card and the command line show them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Any

from ..errors import UserError
from ..files.messages import first_of, plural, show_counts
from ..models.short_names import EMBEDDED, FOR_DRAWINGS
from ..rows.row import Row
from ..rows.values import flag_kind


@dataclass(frozen=True)
class SetFacts:
    """What the card and the page say of a set that its rows do not."""

    entries: Mapping[str, Any]
    """Name → fact, such as `model` and `method`."""
    prompts: Sequence[str] = ()
    """The templates of the prompts."""
    rejected: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Class → reason → the number of images that were drawn and rejected for it."""
    reading: Sequence[str] = ()
    """Lines about how an imported set was understood."""


@dataclass(frozen=True)
class ClassCount:
    """The figures of one class of a dataset."""

    name: str
    images: int
    """The number of images that show the class."""
    area: float | None
    """The class's mean share of these images, in [0, 1]; None if no row has it."""
    rejected: Mapping[str, int]
    """Reason → the number of images that were drawn and rejected for it."""
    flags: Mapping[str, int]
    """Kind of flag → the number of images with it."""

    def cells(self) -> dict[str, str]:
        """Column → the class's text in the tables of the page and the card."""
        return {
            "name": self.name,
            "images": str(self.images),
            "rejected": show_counts(self.rejected) or "0",
            "area": "–" if self.area is None else f"{self.area:.1%}",
            "flags": show_counts(self.flags) or "–",
        }


@dataclass(frozen=True)
class Summary:
    """The figures of a dataset."""

    images: int
    classes: Sequence[ClassCount]
    flagged: int
    """The number of images with flags."""
    kinds: Sequence[str]
    """The kinds of these flags, sorted."""
    unchecked: int
    """The number of images whose mask a method made, and that no person has judged or changed."""

    @property
    def class_names(self) -> list[str]:
        """The names of the classes. Label i + 1 is class_names[i]."""
        return [count.name for count in self.classes]

    @property
    def rejected(self) -> bool:
        """Whether draws were rejected."""
        return any(count.rejected for count in self.classes)


def summarize(
    rows: Sequence[Row], class_names: Sequence[str], rejected: Mapping[str, Mapping[str, int]] = MappingProxyType({})
) -> Summary:
    """The figures of a dataset. rows: of metadata.jsonl. class_names: label i + 1 is class_names[i]. rejected: as in
    `SetFacts`, the `count_flags` of rejected draws. Raises UserError for a class that the dataset does not have."""
    classes = _count_classes(rows, class_names, rejected)
    flags = [row.flag_list for row in rows]
    kinds = sorted({*map(flag_kind, chain.from_iterable(flags))})
    return Summary(
        images=len(rows),
        classes=classes,
        flagged=sum(map(bool, flags)),
        kinds=kinds,
        unchecked=sum(row.unchecked for row in rows),
    )


def samples_from(rows: Iterable[Row], name: str) -> str:
    """The sets that samples come from, with their models: `40 of pets (mini), 12 of c1`. name: the set of rows without
    an `origin`."""
    models = defaultdict[str, list[str | None]](list)
    for row in rows:
        models[str(row.origin or name).partition("/")[0]].append(row.model)
    texts = list[str]()
    for source, of_rows in models.items():
        known = ", ".join(sorted({*filter(None, of_rows)}))
        text = f"{len(of_rows)} of {source}"
        texts.append(f"{text} ({known})" if known else text)
    return first_of(texts, in_all=True)


def provenance(rows: Sequence[Row]) -> dict[str, str]:
    """Fact → text: what made images and masks, what people decided, and the parts."""
    reviews = [row.review_or_empty for row in rows if row.review_or_empty.judged]
    decisions = Counter(review.verdict for review in reviews if review.verdict)
    decided = show_counts({**decisions, "corrected": sum(bool(review.corrected) for review in reviews)})
    reviewed = f"{len(reviews)} of {plural(len(rows), 'image')}"
    if decided:
        reviewed += f" ({decided})"
    return {
        "drawn by": show_counts(Counter(row.model for row in rows if row.model and not row.of_photo)) or "–",
        "photographs": str(sum(row.source is not None for row in rows)),
        "masks by": show_counts(Counter(f"{row.model or ''} {row.method}" for row in rows if row.method)) or "–",
        "reviewed": reviewed,
        "parts": show_counts(Counter(row.part for row in rows)),
    }


def for_drawings(rows: Iterable[Row]) -> list[str]:
    """A line about each embedded model that made masks of photographs: see `FOR_DRAWINGS`."""
    names = {row.model for row in rows if row.of_photo and row.model in EMBEDDED}
    return [f"model {name} {FOR_DRAWINGS}" for name in sorted(filter(None, names))]


def nobody_checked(rows: Sequence[Row]) -> list[str]:
    """A line about the masks that a model made and nobody has checked, if there are any."""
    count = sum(row.unchecked for row in rows)
    if not count:
        return []
    whose = "these masks"
    if count < len(rows):
        whose = f"the masks of {plural(count, 'image')}"
    return [f"a model made {whose}; nobody has checked them"]


def doubts(rows: Sequence[Row]) -> list[str]:
    """Lines about what to know before the masks of a set are used."""
    return [*for_drawings(rows), *nobody_checked(rows)]


def _count_classes(
    rows: Sequence[Row], class_names: Sequence[str], rejected: Mapping[str, Mapping[str, int]]
) -> list[ClassCount]:
    # 1. Count
    images = Counter[str]()
    flags = count_flags(rows, class_names)
    areas: dict[str, list[float]] = {name: [] for name in class_names}
    for number, row in enumerate(rows, 1):
        classes = list(dict.fromkeys(row.class_names))
        for name in classes:
            if name not in areas:
                names = ", ".join(class_names)
                raise UserError(f"row {number}: class '{name}' is not one of the dataset's: {names}")
        images.update(classes)
        for name, share in (row.area or {}).items():
            if name in classes:
                areas[name].append(float(share))

    # 2. Sum up
    counts: list[ClassCount] = []
    for name in class_names:
        area = sum(areas[name]) / len(areas[name]) if areas[name] else None
        counts.append(ClassCount(name, images[name], area, rejected.get(name, {}), flags[name]))
    return counts


def count_flags(rows: Sequence[Row], class_names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Class → kind of flag → the number of rows with it. A flag without a class (`x` instead of `x:dog`) counts for
    each class of its row."""
    counts = {name: Counter[str]() for name in class_names}
    for row in rows:
        for flag in row.flag_list:
            _, _, flagged = flag.partition(":")
            names = [flagged] if flagged in counts else dict.fromkeys(row.class_names)
            for name in names:
                counts[name][flag_kind(flag)] += 1
    return {name: dict(sorted(kinds.items())) for name, kinds in counts.items()}
