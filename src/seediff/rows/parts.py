"""The parts of a set, and the splits for training, validation and testing that their names mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..errors import UserError
from ..files.messages import plural, show_json

SPLITS = ("train", "val", "test")
"""The values of `split`. A sample without `split` is for training."""
NO_SPLIT = f"is none of {', '.join(SPLITS)}"
"""What messages say of an unclear part."""
_WORDS = {
    "train": "train training trainaug train_aug",
    "val": "val valid validation dev minival",
    "test": "test testing",
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words.split()}


def part_of(name: str) -> str | None:
    """The split that the name of a part means: "val" for `Validation`. None for any other name: no split is guessed."""
    return _SPLIT_OF.get(name.lower())


def unclear_parts(names: Iterable[str | None]) -> Counter[str]:
    """Name → number of samples, for parts that may be for training or not: those whose name means no split, in a set
    where another part's name does. names: the name of each sample's part, or None."""
    counts = Counter(filter(None, names))
    if not any(map(part_of, counts)):
        return Counter()
    return Counter({name: count for name, count in counts.items() if part_of(name) is None})


def row_splits(names: Sequence[str | None]) -> list[str | None]:
    """The `split` of each sample: the split that its part's name means, or an unclear name itself, or None. names: as
    for `unclear_parts`."""
    splits = {name: part_of(name or "") for name in names} | {name: name for name in unclear_parts(names)}
    return [splits[name] for name in names]


def check_parts(names: Iterable[str], where: object) -> None:
    """Raises UserError if parts are unclear. names: the `Row.part` of each sample. where: their set in errors."""
    for name, count in unclear_parts(names).items():
        problem = f"its part {show_json(name)} of {plural(count, 'sample')}"
        raise UserError(where, f"{problem} {NO_SPLIT}", f"--split says which part is used, such as train or {name}")
