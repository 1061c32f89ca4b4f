"""The flags that mark masks which may be wrong. A sample's row lists them in `flags`, as `kind:class`. The flags
`no_class`, `no_background`, `blank` and `unlabelled` are about the whole picture and name no class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from ..errors import UserError

OF_CLASSES = {
    "no_seeds": "no position reached α, so the single highest one was used as the seed",
    "no_background_seeds": "the background had no seed, so the background refinement was skipped",
    "constant_map": "a map has the same value everywhere, so it does not show where the class is",
    "degenerate": "the mask covers less than 1 % or more than 95 % of the image",
    "mixed": "the class's word hardly tells its mask from another class's: was it drawn, or are both one thing?",
}
NO_BACKGROUND, BLANK, UNLABELLED = "no_background", "blank", "unlabelled"
FLAGS = {
    **OF_CLASSES,
    "no_class": "none of the classes was found in the photograph",
    NO_BACKGROUND: "several classes together cover more than 99 % of the image; perhaps one of them was not drawn",
    BLANK: "the image is black, as a safety checker leaves it: masks are of what was drawn before",
    UNLABELLED: "nobody has painted the image's mask, or accepted it as empty",
}
"""Kind of flag → its meaning, without a full stop, for all flags of SeeDiff. OF_CLASSES has the flags that name a
class."""
SMALLEST, LARGEST = 0.01, 0.95
"""The smallest and the largest usual share of a mask in its picture. Any other mask gets the flag `degenerate`.
SMALLEST is also the smallest usual share of the background."""
NOT_DRAWN = ("mixed", NO_BACKGROUND)
"""The kinds of flags for which `generate` draws an image of several classes again: perhaps a class was not drawn."""
OF_AREAS = ("degenerate", NO_BACKGROUND)
"""The kinds of flags that `area_flags` gives."""


def area_flags(area: Mapping[str, float], background: float) -> list[str]:
    """The flags of masks that cover too little or too much of the picture. area: class → share in [0, 1]. background:
    its share."""
    flags = [f"degenerate:{name}" for name, share in area.items() if not SMALLEST <= share <= LARGEST]
    if background < SMALLEST and max(area.values(), default=1) <= LARGEST:
        flags.append(NO_BACKGROUND)
    return flags


def flag_kind(flag: str) -> str:
    """`no_seeds:dog` → `no_seeds`."""
    return flag.partition(":")[0]


def explain_flag(flag: str) -> str:
    """The meaning of a flag; "" for a flag of another program."""
    return FLAGS.get(flag_kind(flag), "")


def check_flags(texts: Sequence[str], classes: Sequence[str], flags: Iterable[str]) -> None:
    """Raise UserError for a text that names no flag. A kind of flag, `kind:class` and `all` name flags.

    texts: what the user gave. classes, flags: the dataset's own, which may come from other programs."""
    flags = set(flags)
    kinds = [*FLAGS, *sorted({flag_kind(flag) for flag in flags} - set(FLAGS))]
    of_classes = {f"{kind}:{name}" for kind, name in product(OF_CLASSES, classes)}
    unknown = [text for text in texts if text not in {"all", *kinds, *flags, *of_classes}]
    if unknown:
        example = f"{kinds[0]}:{[*classes, 'dog'][0]}"
        fix = f"there are {', '.join(kinds)} and all; for one class, for example {example}"
        raise UserError("drop_flags", f"{unknown[0]}: no such flag", fix)
