"""How much of the training time is spent waiting for pictures, and what to do when it is much.

Times in seconds, shares as 0 <= share <= 1.
"""

import os
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

LARGEST_SHARE = 0.05  # of the time; more than this is worth a word
LEAST_WAITED_S = 1.0  # less than this says nothing: the first batch of an epoch is always waited for


class Waits:
    """Passes batches on and adds up how long each was waited for: `waited_s`."""

    def __init__(self) -> None:
        self.waited_s = 0.0
        self._marked_s = 0.0

    def watch(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield what `batches` yields."""
        iterator = iter(batches)
        while True:
            started = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.waited_s += time.monotonic() - started
            yield batch

    def share_of(self, seconds: float) -> float:
        """Return what part of the last `seconds` was waited in, and begin to count anew for the next call."""
        waited_s, self._marked_s = self.waited_s - self._marked_s, self.waited_s
        return min(1.0, waited_s / max(1e-9, seconds))


def advise(waited_s: float, trained_s: float, *, workers: int, run: str) -> str | None:
    """Return a line for people if more than LARGEST_SHARE of `trained_s` was waited in, and None otherwise."""
    if waited_s < LEAST_WAITED_S or waited_s <= LARGEST_SHARE * trained_s:
        return None
    more = max(2, min(2 * workers, os.cpu_count() or 1))
    remedy = f"stop, and go on with more readers: sgt train {run} --resume --workers {more}" if more > workers else ""
    smaller = "keep the pictures smaller on the disk: most of the time goes into decoding what --load-size leaves out"
    return (
        f"{waited_s / trained_s:.0%} of the time is spent waiting for pictures (--workers {workers}). "
        f"What helps: {f'{remedy}; or ' if remedy else ''}{smaller}"
    )
