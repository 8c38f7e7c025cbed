import json
from pathlib import Path
from typing import Any

import pytest

from stylegan_tool.errors import ComputeError, OutputError, SgtError
from stylegan_tool.folder.making import Result
from stylegan_tool.folder.plan import Job
from stylegan_tool.folder.report import Report, check_report

ABOUT = {"model": "abc"}


def make_jobs(n: int) -> list[Job]:
    return [Job(Path(f"in/{i}.png"), Path(f"out/{i}.png"), f"{i}.png", f"{i}.png", f"../in/{i}.png") for i in range(n)]


def read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def test_every_file_is_listed_in_order(tmp_path: Path) -> None:
    jobs = make_jobs(4)
    report = Report(tmp_path / "r.json", ABOUT)
    with report.written(jobs):
        report.add(Result(jobs[2], "failed", 0.5, ComputeError("out of memory", hint="x")))
        report.add(Result(jobs[0], "made", 1.25, None, (9, 8), 123, "ff", is_first_of_several=True))
        report.add(Result(jobs[1], "done before", size=(9, 8), n_bytes=1, hash="aa"))
    values = read(tmp_path / "r.json")
    assert (values["ended"], values["model"]) == ("complete", "abc")
    assert values["counts"] == {"made": 1, "done before": 1, "failed": 1, "not reached": 1}
    assert values["files"] == [
        {
            "input": str(Path("in/0.png")),
            "output": str(Path("out/0.png")),
            "status": "made",
            "width": 9,
            "height": 8,
            "bytes": 123,
            "blake2b": "ff",
            "seconds": 1.25,
            "note": "an animation or pages: only the first picture",
        },
        {
            "input": str(Path("in/1.png")),
            "output": str(Path("out/1.png")),
            "status": "done before",
            "width": 9,
            "height": 8,
            "bytes": 1,
            "blake2b": "aa",
        },
        {
            "input": str(Path("in/2.png")),
            "output": str(Path("out/2.png")),
            "status": "failed",
            "error": "out of memory",
            "hint": "x",
            "seconds": 0.5,
        },
        {"input": str(Path("in/3.png")), "output": str(Path("out/3.png")), "status": "not reached"},
    ]


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (OutputError("the disk is full"), "the disk is full"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
    ],
    ids=["Ctrl-C", "error", "bug"],
)
def test_it_is_written_whatever_ends_the_run(tmp_path: Path, error: BaseException, ended: str) -> None:
    with pytest.raises(type(error)), Report(tmp_path / "r.json", ABOUT).written(make_jobs(2)):
        raise error
    assert read(tmp_path / "r.json")["ended"] == ended


def test_an_error_is_not_hidden_by_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SgtError, match="full"), Report(tmp_path / "file" / "r.json", ABOUT).written([]):
        raise OutputError("the disk is full")
    with pytest.raises(OutputError, match="cannot write"), Report(tmp_path / "file" / "r.json", ABOUT).written([]):
        pass


def test_an_empty_report_is_json(tmp_path: Path) -> None:
    with Report(tmp_path / "r.json", ABOUT).written([]):
        pass
    assert read(tmp_path / "r.json")["files"] == []


def test_only_reports_are_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    check_report(path, overwrite=False)
    assert not path.exists()
    with Report(path, ABOUT).written(make_jobs(1)):
        pass
    check_report(path, overwrite=False)
    for other in ("", '{"kind": "of magic"}', "[]"):
        path.write_text(other)
        with pytest.raises(OutputError, match="there already"):
            check_report(path, overwrite=False)
        check_report(path, overwrite=True)
    with pytest.raises(OutputError, match=r"no such folder for the report|you may not write"):
        check_report(tmp_path / "missing" / "r.json", overwrite=True)
    with pytest.raises(OutputError, match="there already"):
        check_report(tmp_path, overwrite=True)
