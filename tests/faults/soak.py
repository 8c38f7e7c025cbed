"""Try the command on bad input without end: `make soak`, or python -m tests.faults.soak --help.

Each case runs in a process of ours that has many of them one after another, as a long run has: what hangs is killed
and what crashes is named, and the rest goes on. One case again, its files kept:

    python -m tests.faults.soak --only films --seed 0 --case 17
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from typing import Any

from tests.faults.corpus import FAMILIES, make_case
from tests.faults.judge import try_case

LIMIT_S = 60  # a case takes less than one even on a busy machine
_START_S = 60  # for the first one, libraries are read
_MOST_BYTES = 12 * 2**30  # what is asked for beyond that is refused, as on a smaller machine
SHARES = {"images": 4, "models": 3, "films": 3}  # of the cases


@dataclass(frozen=True)
class Verdict:
    """What came of case `number` of a family.

    Attributes:
        code: exit code; None if there was none, or the case could not be tried.
        complaints: all that was wrong; empty if it ended rightly.
        skipped: why it could not be tried here; else empty.
    """

    family: str
    seed: int
    number: int
    kind: str = ""
    code: int | None = None
    seconds: float = 0.0
    complaints: tuple[str, ...] = ()
    skipped: str = ""

    def __str__(self) -> str:
        again = f"python -m tests.faults.soak --only {self.family} --seed {self.seed} --case {self.number}"
        return "\n  ".join((f"{self.family} {self.number}, {self.kind or 'unknown'}: {again}", *self.complaints))


def choose(cases: int, only: str | None) -> list[tuple[str, int]]:
    """Return families and numbers of about `cases` cases."""
    if only is not None:
        return [(only, number) for number in range(cases)]
    whole = sum(SHARES.values())
    return [(family, number) for family, share in SHARES.items() for number in range(round(cases * share / whole))]


def try_number(family: str, seed: int, number: int, folder: Path) -> Verdict:
    """Make and try one case in this process, its files below `folder`."""
    kind = ""
    os.environ["SGT_MODELS"] = str(folder / "models")
    try:
        case = make_case(family, seed, number, folder)
        kind = case.kind
        if case.skip:
            return Verdict(family, seed, number, kind, skipped=case.skip)
        outcome = try_case(case, folder)
    except Exception:  # noqa: BLE001 a mistake in the corpus itself: to be told, too
        return Verdict(family, seed, number, kind, complaints=(traceback.format_exc(),))
    complaints = tuple(outcome.complaints)
    if complaints:
        complaints = (f"sgt {' '.join(case.argv)}", *complaints, outcome.messages[-600:])
    return Verdict(family, seed, number, kind, outcome.code, outcome.seconds, complaints)


def run_all(chosen: Iterable[tuple[str, int]], seed: int, jobs: int) -> Iterator[Verdict]:
    """Yield what came of each chosen case, in any order, from `jobs` processes."""
    waiting: Queue[tuple[str, int]] = Queue()
    for one in chosen:
        waiting.put(one)
    done: Queue[Verdict | None] = Queue()
    threads = [threading.Thread(target=_keep_busy, args=(waiting, done, seed)) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    left = jobs
    while left:
        verdict = done.get()
        if verdict is None:
            left -= 1
        else:
            yield verdict
    for thread in threads:
        thread.join()


# The processes --------------------------------------------------------------------------------------------


def _keep_busy(waiting: "Queue[tuple[str, int]]", done: "Queue[Verdict | None]", seed: int) -> None:
    """Give cases to a process until none are left; put another in its place when it is lost."""
    worker: _Worker | None = None
    try:
        while not waiting.empty():
            family, number = waiting.get()
            worker = worker or _Worker()
            verdict = worker.ask(family, seed, number)
            if verdict is None:
                verdict = Verdict(family, seed, number, complaints=(worker.lose(),))
                worker = None
            done.put(verdict)
    finally:
        if worker is not None:
            worker.end()
        done.put(None)


class _Worker:
    """A process that tries case after case."""

    def __init__(self) -> None:
        context: Any = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._limit_s = LIMIT_S + _START_S

    def ask(self, family: str, seed: int, number: int) -> Verdict | None:
        """Return what came of the case; None if nothing came."""
        try:
            self._ours.send((family, seed, number))
            if not self._ours.poll(self._limit_s):
                return None
            verdict: Verdict = self._ours.recv()
        except (EOFError, OSError):
            return None
        self._limit_s = LIMIT_S
        return verdict

    def lose(self) -> str:
        """Return why nothing came, and let the process go."""
        self._process.join(1)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        return f"it did not end within {LIMIT_S} s" if code is None else f"the process crashed ({code})"

    def end(self) -> None:
        """Let it end by itself."""
        self._ours.close()
        self._process.join()


def _work(requests: Connection) -> None:
    """Try what is asked for until there is no more."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    for category in (UserWarning, RuntimeWarning, ResourceWarning):  # each time, not once for each line
        warnings.simplefilter("always", category)
    while True:
        try:
            family, seed, number = requests.recv()
        except EOFError:
            return
        with tempfile.TemporaryDirectory(prefix="sgt-case-") as folder:
            requests.send(try_number(family, seed, number, Path(folder)))


# What a person sees ---------------------------------------------------------------------------------------


def figure(verdicts: list[Verdict], seconds: float) -> str:
    """Return a table of what was tried and how it ended."""
    lines = []
    for family in dict.fromkeys(verdict.family for verdict in verdicts):
        ours = [verdict for verdict in verdicts if verdict.family == family]
        codes = Counter("skipped" if one.skipped else f"{one.code}" for one in ours if not one.complaints)
        wrong = sum(bool(one.complaints) for one in ours)
        ends = ", ".join(f"{code}: {codes[code]}" for code in sorted(codes))
        kinds = len({one.kind for one in ours})
        slowest = max(one.seconds for one in ours)
        lines.append(
            f"{family}: {len(ours)} cases of {kinds} kinds, {wrong} ended wrongly; "
            f"exit codes {ends}; the slowest took {slowest:.1f} s"
        )
    skipped = {one.skipped for one in verdicts if one.skipped}
    lines += [f"skipped: {reason}" for reason in sorted(skipped)]
    wrong = sum(bool(one.complaints) for one in verdicts)
    return "\n".join((*lines, f"{len(verdicts)} cases in {seconds:.0f} s, {wrong} ended wrongly"))


def main() -> int:
    """Try the cases, print what went wrong and the figure, and return 1 if anything did."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other cases (0)")
    parser.add_argument("--only", choices=FAMILIES, help="one family")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--case", type=int, help="this one of the family, in this process; its files are kept")
    options = parser.parse_args()
    if options.case is not None:
        folder = Path(tempfile.mkdtemp(prefix="sgt-case-"))
        verdict = try_number(options.only or "images", options.seed, options.case, folder)
        print(f"{verdict}\n  exit code {verdict.code}, files in {folder}")
        return int(bool(verdict.complaints))
    started, verdicts = time.monotonic(), []
    for verdict in run_all(choose(options.cases, options.only), options.seed, options.jobs):
        verdicts.append(verdict)
        if verdict.complaints:
            print(verdict, flush=True)
    verdicts.sort(key=lambda one: (one.family, one.number))
    print(figure(verdicts, time.monotonic() - started))
    return int(any(verdict.complaints for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
