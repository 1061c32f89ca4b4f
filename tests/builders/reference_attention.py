"""Every family's twin and its reference attention, found by the name of the family's file:
`reference_attentions/NAME.py`.
"""

from __future__ import annotations

from importlib import import_module

from builders.eager import Book

from seediff.models.families import families
from seediff.models.families.base import Family
from seediff.models.registry import Model


def file_of(family: Family) -> str:
    """The name of the family's file."""
    return type(family).__module__.rpartition(".")[2]


BOOKS: dict[str, Book] = {
    name: import_module(f"builders.reference_attentions.{name}").BOOK for name in map(file_of, families())
}
"""Name of a file in models/families → its book."""


def book_of(model: Model) -> Book:
    return BOOKS[file_of(model.family)]
