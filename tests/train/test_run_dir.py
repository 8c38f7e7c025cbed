import json
import re
from pathlib import Path

import pytest

from stylegan_tool.errors import OutputError
from stylegan_tool.run_stats import read_stats
from stylegan_train.config import TrainConfig
from stylegan_train.run_dir import make_run_dir


def _silent(line: str) -> None:
    pass


def _make(runs: Path, name: str) -> str:
    return make_run_dir(runs, TrainConfig(name=name), _silent).folder.name


def test_numbers_count_up_over_all_runs(tmp_path: Path) -> None:
    runs = tmp_path / "deep" / "runs"
    assert [_make(runs, name) for name in ("photo2monet", "garden", "photo2monet")] == [
        "photo2monet-001",
        "garden-002",
        "photo2monet-003",
    ]
    (runs / "old-041").mkdir()
    (runs / "notes").mkdir()
    (runs / "file-900").write_text("no folder")
    assert _make(runs, "garden") == "garden-042"
    (runs / "old-999").mkdir()
    assert _make(runs, "garden") == "garden-1000"
    assert _make(runs, "garden") == "garden-1001"


def test_a_new_run_has_its_config(tmp_path: Path) -> None:
    config = TrainConfig(name="garden", lr=1e-5)
    run = make_run_dir(tmp_path / "runs", config, _silent)
    assert run.read_config() == config
    assert {path.name for path in run.folder.iterdir()} == {"config.json", "samples"}


def test_a_place_that_cannot_be_written_to_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match="runs"):
        _make(tmp_path / "runs", "garden")


def test_log_lines_are_said_and_kept_with_the_time(tmp_path: Path) -> None:
    said: list[str] = []
    run = make_run_dir(tmp_path / "runs", TrainConfig(name="garden"), said.append)
    run.log("first")
    run.log("zweite Zeile: größer")
    assert said == ["first", "zweite Zeile: größer"]
    lines = (run.folder / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines] == said
    assert lines != said


def test_stats_are_one_object_a_line(tmp_path: Path) -> None:
    run = make_run_dir(tmp_path / "runs", TrainConfig(name="garden"), _silent)
    run.append_stats({"step": 10, "gan": 1 / 3})
    run.append_stats({"step": 20, "gan": 1e-9 / 3})
    lines = (run.folder / "stats.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 10, "gan": 0.333333}, {"step": 20, "gan": 3.33333e-10}]


@pytest.mark.parametrize("line", ["", "[]", "null", "words", '{"epoch": 1, "st'])
def test_lines_that_are_no_object_are_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "stats.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n{{"step": 3}}')
    assert list(read_stats(path)) == [{"step": 1}, {"step": 2}]  # the last one may go on
    assert list(read_stats(tmp_path / "none.jsonl")) == []


def test_stats_are_cut_after_a_position(tmp_path: Path) -> None:
    run = make_run_dir(tmp_path / "runs", TrainConfig(name="garden"), _silent)
    run.cut_stats(0, 0)
    assert not run.stats_path.exists()
    places = [(1, 10), (1, 12), (2, 10), (2, 12), (3, 10)]
    for epoch, step in places:
        run.append_stats({"epoch": epoch, "step": step})
    with run.stats_path.open("a") as file:
        file.write('{"epoch": 1, "st')
    for position, kept in {(2, 9): 4, (1, 11): 3, (1, 0): 2, (0, 10): 1}.items():
        run.cut_stats(*position)
        lines = run.stats_path.read_text(encoding="utf-8").splitlines()
        assert [(line["epoch"], line["step"]) for line in map(json.loads, lines)] == places[:kept]
    assert {path.name for path in run.folder.iterdir()} == {"config.json", "samples", "stats.jsonl"}
