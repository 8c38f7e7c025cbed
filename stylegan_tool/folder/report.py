"""A JSON report of a run over a folder: what became of every file, whatever ended the run."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stylegan_tool.errors import OutputError, SgtError, typed
from stylegan_tool.folder.making import Result
from stylegan_tool.folder.plan import Job
from stylegan_tool.whole_files import check_reach, write_whole

KIND = "sgt images report"
_VERSION = 1


class Report:
    """Collects results, and writes them at the end.

    Args:
        path: where to; an earlier report that is there is replaced. None: nowhere.
        about: what else to say at the top, as JSON takes it.

    Attributes:
        results: by the output's name in its folder.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self.path = path
        self._about = dict(about)
        self._started = time.time()
        self.results: dict[str, Result] = {}

    def add(self, result: Result) -> None:
        """Take in what came of a job."""
        self.results[result.job.output] = result

    @contextmanager
    def written(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Write it at the end of this context, whatever ends it.

        Raises:
            OutputError: it cannot be written; silent where another error is already on its way.
        """
        try:
            yield
        except BaseException as error:
            with suppress(OutputError):
                self._write(jobs, _ended_by(error))
            raise
        self._write(jobs, "complete")

    def _write(self, jobs: Sequence[Job], ended: str) -> None:
        if self.path is None:
            return
        files = [self._describe(job) for job in jobs]
        about = {
            "kind": KIND,
            "version": _VERSION,
            **self._about,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._started)),
            "seconds": round(time.time() - self._started, 3),
            "ended": ended,
            "counts": dict(Counter(file["status"] for file in files)),
        }
        # One line for each file: 200,000 of them are still read with grep.
        lines = ",\n  ".join(json.dumps(file) for file in files)
        text = f'{json.dumps(about, indent=1)[:-2]},\n "files": [\n  {lines}\n ]\n}}\n'
        write_whole(self.path, text.encode(), overwrite=True)

    def _describe(self, job: Job) -> dict[str, Any]:
        values: dict[str, Any] = {"input": str(job.source), "output": str(job.target)}
        result = self.results.get(job.output)
        if result is None:
            return {**values, "status": "not reached"}
        values["status"] = result.status
        if result.error is not None:
            values |= {"error": result.error.what, "hint": result.error.hint}
        else:
            values |= {"width": result.size[0], "height": result.size[1]}
            values |= {"bytes": result.n_bytes, "blake2b": result.hash}
        if result.status != "done before":
            values["seconds"] = round(result.seconds, 4)
        if result.is_first_of_several:
            values["note"] = "an animation or pages: only the first picture"
        return values


def _ended_by(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return error.what if isinstance(error, SgtError) else f"{type(error).__name__}: {error}"


def check_report(path: Path, *, overwrite: bool) -> None:
    """Refuse before work starts where the report could not be written at its end.

    Raises:
        OutputError: something that is no such report is there (and not `overwrite`), or the folder is not writable.
    """
    check_reach(path)
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"no such folder for the report: {folder}", hint=f"Make it: mkdir -p {typed(folder)}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write the report: you may not write in {folder}", hint="Name another place: --report FILE.json"
        )
    if path.is_dir() or (os.path.lexists(path) and not overwrite and not _is_report(path)):
        raise OutputError(
            f"{path} is there already, and is no report of this command",
            hint="Nothing was done. Use --overwrite to replace it, or name another file.",
        )


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return (
                file.read(100).replace(b" ", b"").startswith(b'{\n"kind":' + json.dumps(KIND).replace(" ", "").encode())
            )
    except OSError:
        return False
