"""What a benchmark prints: one figure a line, as a ratio or against a limit, with its goal met or missed."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RUNS = 5
PAUSE_S = 0.2  # the runtime's threads spin for a while after a run, and would slow what comes next


@dataclass(frozen=True)
class Figure:
    """One line: `value` is a ratio, or a figure in `unit`; `goal` is the most that is accepted, if any."""

    name: str
    value: float
    unit: str = "x"
    goal: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        return None if self.goal is None else self.value <= self.goal

    def line(self) -> str:
        """Return the line to print."""
        verdict = "" if self.goal is None else f"  goal {self.goal:g}: {'met' if self.met else 'MISSED'}"
        return f"{self.name:<58} {self.value:9.3g} {self.unit}{verdict}" + (f"  ({self.note})" if self.note else "")


def time_in_turn(*actions: Callable[[], object], runs: int = RUNS) -> list[float]:
    """Return the median seconds of each action, all run in turn `runs` times after a warm-up."""
    seconds: list[list[float]] = [[] for _ in actions]
    for run in range(runs + 1):
        for action, taken in zip(actions, seconds, strict=True):
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            action()
            if run > 0:
                taken.append(time.perf_counter() - started)
    return [float(np.median(taken)) for taken in seconds]


def run_python(arguments: Sequence[str]) -> str:
    """Return what a fresh Python prints."""
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout
