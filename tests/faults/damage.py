"""Ways to damage bytes, drawn by a generator with a seed."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

Rng = np.random.Generator
T = TypeVar("T")


def truncated(rng: Rng, whole: bytes) -> bytes:
    """Cut off anywhere; one time in four within the last bytes, where losses are easily overlooked."""
    last = len(whole) - 1
    return whole[: int(rng.integers(max(1, last - 24), last + 1) if rng.random() < 0.25 else rng.integers(1, last + 1))]


def bits_flipped(rng: Rng, whole: bytes) -> bytes:
    """One to sixteen bits turned over, half of the times among the first bytes, which say how to read the rest."""
    damaged = bytearray(whole)
    end = min(len(whole), 256) if rng.random() < 0.5 else len(whole)
    for place in rng.integers(0, end, int(rng.integers(1, 17))):
        damaged[place] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def overwritten(rng: Rng, whole: bytes) -> bytes:
    """A stretch of zeros, ones or noise, as a bad sector leaves it."""
    length = int(rng.integers(1, max(2, len(whole) // 4)))
    start = int(rng.integers(0, len(whole) - length + 1))
    filling = (bytes(length), b"\xff" * length, rng.bytes(length))[int(rng.integers(3))]
    return whole[:start] + filling + whole[start + length :]


def cut_out(rng: Rng, whole: bytes) -> bytes:
    """A stretch is missing, so that all after it lies elsewhere."""
    length = int(rng.integers(1, max(2, len(whole) // 4)))
    start = int(rng.integers(0, len(whole) - length + 1))
    return whole[:start] + whole[start + length :]


DAMAGE = {
    "truncated": truncated,
    "bits flipped": bits_flipped,
    "overwritten": overwritten,
    "cut out": cut_out,
}


def ways_of(damaged: Callable[[Rng, Path, str], T]) -> tuple[Callable[[Rng, Path], T], ...]:
    """Return what makes a case of a file: cut off, with bits turned over, with a bad stretch or without it."""
    return (
        lambda rng, folder: damaged(rng, folder, "truncated"),
        lambda rng, folder: damaged(rng, folder, "bits flipped"),
        lambda rng, folder: damaged(rng, folder, str(rng.choice(["overwritten", "cut out"]))),
    )
