"""Data sets made on the spot, and trainings that take a second."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from PIL import Image as PilImage
from torch import Tensor

from stylegan_tool.__main__ import main
from stylegan_train.step import Trainer
from tests.models import BLUE, RED

TINY = ["train", "photo2vangogh", "--preset", "tiny"]
NAMES = {"flat": "{part}{side}", "nested": "{part}/{side}"}


def make_pictures(folder: Path, n: int, colour: tuple[int, int, int]) -> None:
    """Write `n` pictures of 44x40 pixels, each of its own noise over `colour`."""
    folder.mkdir(parents=True)
    for i in range(n):
        noise = np.random.default_rng([i, *colour]).integers(-60, 61, (40, 44, 3))
        image = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
        PilImage.fromarray(image).save(folder / f"{i}.png")


def make_set(folder: Path, n_a: int = 3, n_b: int = 2, *, n_test: int = 0, layout: str = "flat") -> Path:
    """Lay out a data set whose A is red and whose B is blue."""
    for part, counts in (("train", (n_a, n_b)), ("test", (n_test, n_test))):
        for side, count, colour in zip("AB", counts, (RED, BLUE), strict=True):
            if count:
                make_pictures(folder / NAMES[layout].format(part=part, side=side), count, colour)
    return folder


def count_files(folder: Path) -> int:
    return len(list(folder.rglob("*")))


def read_stats(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text(encoding="utf-8").splitlines()]


def read_state(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run / "training_state.pt", weights_only=True)
    return state


Step: TypeAlias = Callable[[], dict[str, float]]


def on_step(monkeypatch: pytest.MonkeyPatch, act: Callable[[int, Trainer, Step], dict[str, float]]) -> None:
    """Instead of the n-th step from now on (1-based), call act(n, trainer, step), which may call step()."""
    calls = 0
    original = Trainer.step

    def wrapped(self: Trainer, real_a: Tensor, real_b: Tensor) -> dict[str, float]:
        nonlocal calls
        calls += 1
        return act(calls, self, lambda: original(self, real_a, real_b))

    monkeypatch.setattr(Trainer, "step", wrapped)


def script_terms(monkeypatch: pytest.MonkeyPatch, term: Callable[[int], float]) -> None:
    """Train nothing: the n-th step has the one loss `gan` = term(n)."""
    on_step(monkeypatch, lambda number, trainer, step: {"gan": term(number)})


def train_until(monkeypatch: pytest.MonkeyPatch, last: int, argv: list[str]) -> None:
    """Train and press Ctrl-C in step `last`, which is finished."""

    def press_ctrl_c(number: int, trainer: Trainer, step: Step) -> dict[str, float]:
        if number == last:
            signal.raise_signal(signal.SIGINT)
        return step()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background job
    try:
        with monkeypatch.context() as patch:
            on_step(patch, press_ctrl_c)
            assert main(argv) == 130
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="package", autouse=True)
def one_cpu_thread() -> Iterator[None]:
    """Tiny networks only lose by threads, and a GPU would make the numbers others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield
    torch.set_num_threads(threads)
