"""Run as a script: train in child processes that are killed by SIGKILL, each at another moment.

`python -m tests.train.killed FOLDER` leaves a folder FOLDER/<moment> with what the killed run left behind, and
FOLDER/never with the run that was not stopped. All in one process, which trains once before it forks, since
what torch loads at its first step takes longer than a training.
"""

import io
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stylegan_tool.__main__ import main
from stylegan_train import loop as loop_module
from stylegan_train.run_dir import RunDir
from stylegan_train.step import Trainer
from stylegan_train.validation import Validation
from tests.train.sets import TINY, make_set

# All that a step can read and write, a falling learning rate, epochs of six steps.
ARGV = [*TINY, "--epochs", "3", "--decay-from", "1", "--pool-size", "2", "--augment", "flip,scale,colour"]
ARGV += ["--average", "0.9", "--lambda-stable", "1", "--validate-every", "1"]
STATE, BEST = ".training_state.pt.part", ".checkpoint_best.pt.part"


def log_and_save_often(patch: Callable[[Any, str, Any], None]) -> None:
    """A line of stats every fourth step, a state every step."""
    patch(loop_module, "LOG_EVERY_STEPS", 4)
    patch(loop_module, "SAVE_EVERY_S", -1)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _at_call(owner: Any, name: str, number: int, act: Callable[..., None], *, of: str = "") -> None:
    """Call `act` with the arguments of the `number`-th call of owner.name that has `of` in its arguments."""
    original, calls = getattr(owner, name), 0

    def wrapped(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += of in repr(args)
        if calls == number and of in repr(args):
            act(*args, **options)
        return original(*args, **options)

    setattr(owner, name, wrapped)


def _write_half_a_file(content: Any, file: io.BufferedWriter) -> None:
    whole = io.BytesIO()
    SAVE(content, whole)
    file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
    file.flush()
    _die()


def _write_half_a_line(run: RunDir, values: dict[str, Any]) -> None:
    with run.stats_path.open("a", encoding="utf-8") as file:
        file.write(str(values)[:30])
    _die()


def _rename_and_die(part: Path, place: Path) -> None:
    os.replace(part, place)  # noqa: PTH105  # Path.replace is what is patched
    _die()


SAVE = torch.save
MOMENTS: dict[str, Callable[[], None]] = {
    "in the first step": lambda: _at_call(Trainer, "_discriminator_step", 1, lambda *_: _die()),
    "in a step": lambda: _at_call(Trainer, "_discriminator_step", 9, lambda *_: _die()),
    "in a state's write": lambda: _at_call(torch, "save", 5, _write_half_a_file, of=STATE),
    "between a state's two renames": lambda: _at_call(Path, "replace", 6, _rename_and_die, of="_before.pt"),
    "between a line of stats and its state": lambda: _at_call(torch, "save", 9, lambda *_: _die(), of=STATE),
    "in a line of stats": lambda: _at_call(RunDir, "append_stats", 4, _write_half_a_line),
    "between a state and its validation": lambda: _at_call(Validation, "validate", 2, lambda *_: _die()),
    "in the best checkpoint's write": lambda: _at_call(torch, "save", 1, _write_half_a_file, of=BEST),
    "between the best checkpoint and its line of stats": lambda: _at_call(RunDir, "append_stats", 3, lambda *_: _die()),
    "in a validation's line of stats": lambda: _at_call(RunDir, "append_stats", 3, _write_half_a_line),
    "in the last validation": lambda: _at_call(Validation, "measure", 3, lambda *_: _die()),
}
FROM_OUTSIDE = "from outside, after two lines of stats"
NEVER = "never"


def _train_in(folder: Path) -> int:
    make_set(folder / "datasets" / "photo2vangogh", 6, 5, n_test=1)
    os.chdir(folder)
    return main(ARGV)


def _fork(folder: Path, prepare: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        prepare()
        os._exit(_train_in(folder))
    return child


def _kill_after_two_lines(child: int, stats: Path) -> None:
    while not (stats.is_file() and stats.read_bytes().count(b"\n") >= 2):
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)


def run_all(folder: Path) -> None:
    """Train without being stopped, then train and be killed at each moment; fail where one is not."""
    log_and_save_often(setattr)
    if code := _train_in(folder / NEVER):
        raise SystemExit(f"The training that nobody killed ended with {code}")
    for moment, prepare in {**MOMENTS, FROM_OUTSIDE: lambda: None}.items():
        child = _fork(folder / moment, prepare)
        if moment == FROM_OUTSIDE:
            _kill_after_two_lines(child, folder / moment / "runs" / "photo2vangogh-001" / "stats.jsonl")
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL:
            raise SystemExit(f"{moment}: the training ended with {code}")


if __name__ == "__main__":
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    torch.cuda.is_available = lambda: False
    run_all(Path(sys.argv[1]))
