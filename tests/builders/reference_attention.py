"""Every family's twin and its reference attention, found by the name of the family's file:
`reference_attentions/NAME.py`.
"""

from importlib import import_module

from seediff.models.families import families


def file_of(family):
    """The name of the family's file."""
    return type(family).__module__.rpartition(".")[2]


BOOKS = {name: import_module(f"builders.reference_attentions.{name}").BOOK for name in map(file_of, families())}
"""Name of a file in models/families → its book."""


def book_of(model):
    return BOOKS[file_of(model.family)]
