"""Flags: what may be wrong with a mask. A row's `flags` lists them as `kind:class`; `no_class` is of a whole picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..errors import UserError

OF_CLASSES = {
    "no_seeds": "no position reached α, so the single highest one was used as the seed",
    "no_background_seeds": "the background had no seed, so the background refinement was skipped",
    "constant_map": "a map was the same everywhere and carries no information",
    "degenerate": "the mask covers less than 1 % or more than 95 % of the image",
}
FLAGS = {**OF_CLASSES, "no_class": "none of the classes was found in the photograph"}
"""Kind → what it means, without a full stop: all that this package gives."""


SMALLEST, LARGEST = 0.01, 0.95
"""Of a picture's area: masks beyond are flagged `degenerate`."""


def degenerate(area: Mapping[str, float]) -> list[str]:
    """The flags of classes whose masks have too little or too much of the picture. area: shares in [0, 1]."""
    return [f"degenerate:{name}" for name, share in area.items() if not SMALLEST <= share <= LARGEST]


def flag_kind(flag: str) -> str:
    """`no_seeds:dog` → `no_seeds`."""
    return flag.partition(":")[0]


def explain_flag(flag: str) -> str:
    """What a flag means; empty when it is not one of this package's."""
    return FLAGS.get(flag_kind(flag), "")


def check_flags(asked: Sequence[str], classes: Sequence[str], flags: Iterable[str]) -> None:
    """Raise UserError for a text that names no flag, and would never be met: kinds, `kind:class`, and `all` are what does.

    classes: of the dataset. found: the flags in its rows, which may be others' than this package's.
    """
    flags = set(flags)
    kinds = [*FLAGS, *sorted({flag_kind(flag) for flag in flags} - set(FLAGS))]
    known = {"all", *kinds, *flags, *(f"{kind}:{name}" for kind in OF_CLASSES for name in classes)}
    if unknown := [text for text in asked if text not in known]:
        raise UserError(
            f"--drop-flags {unknown[0]}: there is no such flag; there are {', '.join(kinds)} and all; of one class of the dataset alone, "
            f"for example {kinds[0]}:{classes[0] if classes else 'dog'}"
        )
