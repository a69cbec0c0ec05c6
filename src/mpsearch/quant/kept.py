"""What is worth keeping between trials, bounded by its bytes: the longest unused goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Values by key; together they never take more than ``limit_bytes``.

    Safe to share between threads. A value larger than the limit is not kept.

    Args:
        limit_bytes: 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 0:
            raise ValueError(f"a limit of {limit_bytes} bytes; 0 keeps nothing")
        self.limit_bytes = limit_bytes
        self._used = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """What the values take, as :meth:`put` was told."""
        return self._used

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, from now on the last to go; None when it is not here."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, size_bytes: int) -> bool:
        """Keep ``value`` and drop others to make room; False when it is too large."""
        with self._lock:
            self._drop(key)
            if size_bytes > self.limit_bytes:
                return False
            while self._entries and self._used + size_bytes > self.limit_bytes:
                _, (_, dropped) = self._entries.popitem(last=False)
                self._used -= dropped
            self._entries[key] = (value, size_bytes)
            self._used += size_bytes
            return True

    def get_or_make(self, key: K, make: Callable[[], tuple[V, int]]) -> V:
        """The value; where it is not here, made (with its size in bytes) and kept."""
        found = self.get(key)
        if found is None:
            found, size_bytes = make()
            self.put(key, found, size_bytes)
        return found

    def remove(self, keys: Iterable[K]) -> None:
        """Drop what is here of ``keys``."""
        with self._lock:
            for key in keys:
                self._drop(key)

    def _drop(self, key: K) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._used -= found[1]
