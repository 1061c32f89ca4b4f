"""The criteria of `filter`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from msgspec import Meta

from ..errors import UserError
from .fields import Count, Share, check_fields, read_names


def split_flags(text: str) -> tuple[str, ...]:
    """The flags in a text, separated by commas."""
    return tuple(part.strip() for part in text.split(","))


@Parameter(name="*", group=Group("Criteria", sort_key=2))
@dataclass(frozen=True)
class Criteria:
    """The criteria that a sample must meet to stay. Raises UserError, with the field's name, for a value out of
    range."""

    drop_flags: Annotated[tuple[str, ...], read_names(split_flags)] = ()
    """Drop samples with these flags, separated by commas: kinds, `kind:class`, or `all`."""
    min_area: Share = 0.0
    """Minimum area of every class in a sample, as a share of the image."""
    max_area: Share = 1.0
    """Maximum area of every class in a sample, as a share of the image."""
    max_components: Count | None = None
    """Maximum number of connected pieces of every class."""
    min_piece: Count = 1
    """With --max-components: smallest piece that counts, in pixels."""
    min_confidence: Annotated[float, Meta(ge=-1, le=1)] | None = None
    """Minimum confidence of every class, from -1 to 1: the mean soft value inside its mask minus that outside."""
    min_agreement: Share | None = None
    """Minimum IoU, from 0 to 1, of every mask with a second one that CA·SA makes of the same maps (method seediff)."""
    best: Count | None = None
    """Keep at most this many samples per class, the most confident first."""
    reviewed: Literal["accepted", "rejected", "not-rejected", "unreviewed", "corrected"] | None = None
    """Keep samples with this decision in `seediff look`."""
    clean: Count | None = None
    """Last, give connected pieces and holes of fewer pixels the label around them, as V in `seediff look` does."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_piece > 1 and self.max_components is None:
            raise UserError("min_piece", "works only with --max-components N")
        if self.min_area > self.max_area:
            raise UserError("min_area", f"{self.min_area} must be at most max_area = {self.max_area}")
