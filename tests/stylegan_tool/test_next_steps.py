"""What `sgt` alone says, for what lies in a folder."""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.film.store import SegmentStore
from stylegan_tool.next_steps import MOST_NAMES, MOST_STEPS, Place, describe, next_steps
from tests.films import noise_images, write_film
from tests.stylegan_tool.test_help import parse


def _touch(*paths: Path) -> Path:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths[0]


def _set(folder: Path) -> Path:
    return _touch(folder / "trainA" / "1.jpg", folder / "trainB" / "1.jpg")


def _run(here: Path, name: str, *, epochs: int = 2, done: int = 2, data: str = "datasets/x") -> Path:
    run = here / "runs" / name
    _touch(run / "checkpoint.pt")
    (run / "config.json").write_text(json.dumps({"epochs": epochs, "data": data}), encoding="utf-8")
    lines = [f"12:00 epoch {epoch + 1}/{epochs}: gan 0.5\n" for epoch in range(done)]
    (run / "log.txt").write_text("".join(lines), encoding="utf-8")
    return run


def _exported(here: Path, name: str) -> Path:
    return _touch(_run(here, name) / "A2B.onnx")


def _began(kept: Path, command: str, folder: Path) -> None:
    _touch(kept / "lock")
    found = {"memory_bytes": 1, "command": command, "folder": str(folder)}
    (kept / "job.json").write_text(json.dumps({"job": {}, "found": found}), encoding="utf-8")


def _results(folder: Path, command: str, here: Path, part: str = "") -> Path:
    folder.mkdir()
    line = json.dumps({"made_with": "m", "means": {}, "command": command, "folder": str(here)})
    (folder / f".sgt-manifest{part}.jsonl").write_text(line + "\n", encoding="utf-8")
    return folder


CASES: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "nothing": (lambda here: None, ["sgt demo"]),
    "pictures in it": (lambda here: _touch(here / "1.jpg"), ["sgt images . painted --to vangogh"]),
    "a folder of pictures": (
        lambda here: _touch(here / "my photos" / "1.JPG"),
        ["sgt images 'my photos' painted --to vangogh"],
    ),
    "a name that looks like an option": (
        lambda here: _touch(here / "-photos" / "1.jpg"),
        ["sgt images ./-photos painted --to vangogh"],
    ),
    "painted is there": (
        lambda here: _touch(here / "1.jpg", here / "painted" / "x"),
        ["sgt images . painted-2 --to vangogh"],
    ),
    "a film": (
        lambda here: _touch(here / "holiday.mov"),
        [
            "sgt video holiday.mov holiday-look.mp4 --to vangogh --preview 3s",
            "sgt video holiday.mov holiday-painted.mp4 --to vangogh",
        ],
    ),
    "a film that is painted": (
        lambda here: _touch(here / "a.mp4", here / "a-painted.mp4", here / "b.mp4"),
        ["sgt video b.mp4 b-look.mp4 --to vangogh --preview 3s", "sgt video b.mp4 b-painted.mp4 --to vangogh"],
    ),
    "a film that was looked at": (
        lambda here: _touch(here / "a.mp4", here / "a-look.mp4"),
        ["sgt video a.mp4 a-painted.mp4 --to vangogh"],
    ),
    "an unfinished film": (
        lambda here: _began(here / "out.mp4.sgt", "sgt video in.mp4 out.mp4 --to monet", here),
        ["sgt video in.mp4 out.mp4 --to monet"],
    ),
    "an unfinished film of a folder that is gone": (
        lambda here: _began(here / "out.mp4.sgt", "sgt video in.mp4 there/out.mp4", here / "gone"),
        [""],
    ),
    "results": (
        lambda here: _results(here / "painted", "sgt images photos painted --to monet", here),
        ["sgt images photos painted --to monet", "sgt gallery painted"],
    ),
    "results that replaced others": (
        lambda here: _results(here / "painted", "sgt images photos painted --overwrite --to monet", here),
        ["sgt images photos painted --to monet", "sgt gallery painted"],
    ),
    "results beside films": (
        lambda here: _touch(
            _results(here / "painted", "sgt images photos painted --to monet", here) / ".sgt-manifest-films.jsonl"
        ),
        ["sgt images photos painted --to monet", "sgt gallery painted"],
    ),
    "results of a shard": (
        lambda here: _results(here / "painted", "sgt images photos painted --shard 1/2", here, "-0001-of-0002"),
        ["sgt images photos painted --shard 1/2", "sgt gallery painted"],
    ),
    "results that have their page": (
        lambda here: _touch(_results(here / "painted", "sgt images photos painted --to monet", here) / "gallery.html"),
        ["sgt images photos painted --to monet"],
    ),
    "a painted film": (
        lambda here: _touch(here / "a.mp4", here / "a-painted.mp4", here / ".sgt-manifest-films.jsonl"),
        ["sgt gallery ."],
    ),
    "a data set": (
        lambda here: _set(here / "datasets" / "photo2monet"),
        ["sgt images datasets/photo2monet/trainA painted --to vangogh", "sgt train photo2monet --preset compact"],
    ),
    "a published data set": (
        lambda here: _set(here / "datasets" / "vangogh2photo"),
        ["sgt images datasets/vangogh2photo/trainA painted --to vangogh", "sgt train photo2vangogh --preset compact"],
    ),
    "a data set elsewhere": (
        lambda here: _set(here / "my comics"),
        [
            "sgt images 'my comics/trainA' painted --to vangogh",
            "sgt train my-comics --data 'my comics' --preset compact",
        ],
    ),
    "an unfinished run": (
        lambda here: _run(here, "photo2monet-001", epochs=20, done=2),
        ["sgt train runs/photo2monet-001 --resume"],
    ),
    "a run that was made longer": (
        lambda here: _run(here, "photo2monet-001", epochs=200, done=20),
        ["sgt train runs/photo2monet-001 --resume"],
    ),
    "a trained run": (lambda here: _run(here, "photo2monet-001"), ["sgt export runs/photo2monet-001"]),
    "an exported run": (
        lambda here: _exported(here, "photo2monet-002"),
        ["sgt images PICTURES painted --model runs/photo2monet-002"],
    ),
    "the newest exported run": (
        lambda here: [_exported(here, "photo2monet-002"), _exported(here, "x-010"), _touch(here / "in" / "1.png")],
        ["sgt images in painted --model runs/x-010"],
    ),
    "a set with its run": (
        lambda here: [_set(here / "datasets" / "x"), _run(here, "x-001")],
        ["sgt export runs/x-001", "sgt images datasets/x/trainA painted --to vangogh"],
    ),
    "a model": (lambda here: _touch(here / "anime.onnx"), ["sgt images PICTURES painted --model anime.onnx"]),
    "damaged files of ours": (
        lambda here: [
            _touch(here / "runs" / "x-001" / "config.json", here / "out.mp4.sgt" / "job.json"),
            (here / "runs" / "x-001" / "config.json").write_bytes(b"\xff[1"),
        ],
        ["", "sgt train runs/x-001 --resume"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_folder_tells_what_to_type(case: str, in_folder: Path) -> None:
    lay_out, commands = CASES[case]
    lay_out(in_folder)
    assert [step.command for step in next_steps(Place(in_folder))] == commands


@pytest.mark.parametrize("case", CASES)
def test_what_is_to_be_typed_can_be(case: str, in_folder: Path) -> None:
    """Each command is one that its own parser takes, and stands alone on its line."""
    CASES[case][0](in_folder)
    lines = [line.strip() for line in describe(Place(in_folder)).splitlines()]
    for step in next_steps(Place(in_folder)):
        if step.command:
            assert step.command in lines
            parse(shlex.split(step.command.rpartition("&& ")[2])[1:])


def test_work_begun_elsewhere_is_gone_on_with_there(in_folder: Path) -> None:
    there = in_folder / "a b"
    there.mkdir()
    _began(in_folder / "out.mp4.sgt", "sgt video in.mp4 out.mp4 --overwrite", there)
    command = f"cd '{there}' && sgt video in.mp4 out.mp4 --overwrite"
    assert next_steps(Place(in_folder))[0].command == command


FOREIGN = [
    "cd /tmp && rm -rf ~",
    "rm -rf ~",
    "sgt2 images a b",
    "sgt images 'a b",
    "sgt images a\x1b[31m b",
    "sgt\nrm x",
    "",
]


@pytest.mark.parametrize("told", FOREIGN)
def test_no_command_but_ours_is_told_again(told: str, in_folder: Path) -> None:
    _results(in_folder / "painted", told, in_folder)
    _began(in_folder / "out.mp4.sgt", told, in_folder)
    assert [step.command for step in next_steps(Place(in_folder))] == ["", "sgt gallery painted"]


def test_a_command_of_ours_brings_no_other_with_it(in_folder: Path) -> None:
    _began(in_folder / "out.mp4.sgt", "sgt video a.mp4 out.mp4; rm -rf ~ $(id) > x", in_folder)
    assert next_steps(Place(in_folder))[0].command == "sgt video a.mp4 'out.mp4;' rm -rf '~' '$(id)' '>' x"


@pytest.mark.parametrize("folder", ["gone", ".", "\x1b[2J", "x\0", "/" + "x" * 5000, "a; rm -rf ~"])
def test_no_folder_but_one_that_is_there_is_gone_to(folder: str, in_folder: Path) -> None:
    found = {"command": "sgt video a.mp4 out.mp4", "folder": folder}
    _touch(in_folder / "out.mp4.sgt" / "job.json").write_text(json.dumps({"found": found}), encoding="utf-8")
    assert [step.command for step in next_steps(Place(in_folder))] == [""]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_names_that_a_terminal_would_obey_are_left_out(in_folder: Path) -> None:
    evil = "a\x1b]0;x\x07\nrm -rf ~"
    _touch(in_folder / evil / "1.jpg", in_folder / f"{evil}.mp4", in_folder / f"{evil}.onnx")
    _began(in_folder / f"{evil}.mp4.sgt", "sgt video a.mp4 b.mp4", in_folder)
    _results(in_folder / f"{evil}-2", "sgt images a b", in_folder)
    _set(in_folder / "datasets" / evil)
    assert [step.command for step in next_steps(Place(in_folder))] == ["sgt demo"]


def test_a_folder_of_photos_is_not_where_their_results_go(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PilImage.new("RGB", (8, 8)).save(_touch(in_folder / "my photos" / "1.png"))
    (in_folder / "empty one").mkdir()
    assert main(["gallery", "my photos"]) == 3
    assert "sgt images 'my photos' painted --to vangogh --gallery\n" in capsys.readouterr().err
    assert main(["gallery", "empty one"]) == 3
    assert "sgt images photos/ 'empty one' --to vangogh --gallery\n" in capsys.readouterr().err


def test_a_gpu_trains_the_papers_network(in_folder: Path) -> None:
    _set(in_folder / "datasets" / "photo2monet")
    steps = next_steps(Place(in_folder, has_gpu=lambda: True))
    assert steps[-1].command == "sgt train photo2monet"


def test_without_torch_it_is_installed_first(in_folder: Path) -> None:
    _set(in_folder / "datasets" / "photo2monet")
    steps = next_steps(Place(in_folder, can_train=lambda: False))
    assert steps[-1].command == "pip install 'stylegan-tool[train]'"


def test_much_is_told_in_a_few_steps_and_begun_things_come_first(in_folder: Path) -> None:
    for number in range(9):
        _began(in_folder / f"{number}.mp4.sgt", f"sgt video a.mp4 {number}.mp4", in_folder)
    _set(in_folder / "datasets" / "photo2monet")
    commands = [step.command for step in next_steps(Place(in_folder))]
    assert commands == [f"sgt video a.mp4 {number}.mp4" for number in range(MOST_STEPS)]


def test_a_crowded_folder_is_looked_at_in_part(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    original = Path.iterdir

    def count(self: Path) -> Any:
        nonlocal looked
        for path in original(self):
            looked += 1
            yield path

    for number in range(MOST_NAMES + 500):
        (in_folder / f"{number}.txt").touch()
    monkeypatch.setattr(Path, "iterdir", count)
    assert next_steps(Place(in_folder))
    assert looked <= 3 * (MOST_NAMES + 1)


def test_sgt_alone_prints_them(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _touch(in_folder / "1.jpg")
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "sgt images . painted --to vangogh\n" in out
    assert out.endswith("All commands: sgt --help\n")


def test_a_folder_of_results_tells_how_it_was_made(
    both_ways: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_folder / "in").mkdir()
    PilImage.new("RGB", (8, 8)).save(in_folder / "in" / "1.png")
    command = ["images", "in", "out", "--model", str(both_ways)]
    assert main(command) == 0
    capsys.readouterr()
    assert main([]) == 0
    assert f"{shlex.join(['sgt', *command])}\n" in capsys.readouterr().out


def test_a_film_that_was_stopped_tells_how_to_go_on(
    both_ways: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_film(in_folder / "in.mp4", noise_images(3))
    place = SegmentStore.mark_placing

    def stop(self: Any, size: int) -> None:
        place(self, size)
        raise KeyboardInterrupt

    monkeypatch.setattr(SegmentStore, "mark_placing", stop)
    command = ["video", "in.mp4", "out.mp4", "--model", str(both_ways)]
    assert main(command) == 130
    capsys.readouterr()
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "out.mp4 is unfinished" in out
    assert f"{shlex.join(['sgt', *command])}\n" in out
