"""`Cache`: keeps what was used last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Keeps the most recently used values. Several threads may use it. limit: the maximum sum of their sizes, except
    that a single value may be larger. size: the size of a value; by default, 1."""

    def __init__(self, limit: int, size: Callable[[Value], int] = lambda value: 1) -> None:
        self._limit, self._size = limit, size
        self._values: dict[Hashable, Value] = {}
        """The most recently used one is the last."""
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values[key] = self._values.pop(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = value
            total = sum(map(self._size, self._values.values()))
            for oldest in list(self._values)[:-1]:
                if total > self._limit:
                    total -= self._size(self._values.pop(oldest))
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key. If the cache lacks the key, `make` makes the value."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value
