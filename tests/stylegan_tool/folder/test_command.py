"""`sgt images` over folders, as it is typed: in processes that are killed, two at once, and on full disks."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.commands.images import MOST_REMEDIES, _say_remedies
from stylegan_tool.errors import InputError
from stylegan_tool.image_files.naming import SUFFIXES
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.session import Session
from tests.models import RED, make_info, write_blur_model, write_colour_model, write_nan_model

N_PICTURES = 24
SLOW_WRITES = """
import time
from stylegan_tool.folder import making
write_whole = making.write_whole
def write_slowly(*args, **options):
    time.sleep(0.2)
    write_whole(*args, **options)
making.write_whole = write_slowly
"""


@pytest.fixture
def place(in_folder: Path) -> Path:
    """A folder with pictures in photos/ and a model that blurs."""
    rng = np.random.default_rng(0)
    for i in range(N_PICTURES):
        path = in_folder / "photos" / f"{i % 3}" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.fromarray(rng.integers(0, 256, (20 + i % 2, 30, 3), np.uint8)).save(path)
    write_blur_model(in_folder / "A2B.onnx", 2, make_info("A2B"))
    return in_folder


def command(*more: str, out: str = "out") -> list[str]:
    return ["images", "photos", out, "--model", "A2B.onnx", *more]


def start(*more: str, out: str = "out", first: str = "", **options: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, which runs the code `first` before it."""
    code = first + "import sys; from stylegan_tool.__main__ import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *command(*more, out=out)], stderr=subprocess.PIPE, text=True, **options
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".sgt")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def whole(place: Path) -> dict[str, bytes]:
    """What a run that nobody disturbs leaves."""
    assert main(command(out="undisturbed")) == 0
    made = snapshot(place / "undisturbed")
    assert len(made) == N_PICTURES
    return made


@pytest.mark.parametrize("after", [0, 1, 9, N_PICTURES - 2])
def test_killed_and_typed_again_it_makes_the_same(place: Path, whole: dict[str, bytes], after: int) -> None:
    run = start()
    while len(snapshot(place / "out")) < after and run.poll() is None:
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    killed = snapshot(place / "out")
    assert all(whole[name] == content for name, content in killed.items())
    before = {name: (place / "out" / name).stat().st_mtime_ns for name in killed}
    assert main(command()) == 0
    assert snapshot(place / "out") == whole
    assert {name: (place / "out" / name).stat().st_mtime_ns for name in killed} == before


# In a process of its own: die at a moment of the work on a picture, the last time when it has its name.
DIE = """
import os, signal, sys
from pathlib import Path
from stylegan_tool.__main__ import main
owner, name, number, after = {"write": (os, "fsync", 5, False), "line": (os, "write", 4, False),
    "half a line": (os, "write", 4, True), "name": (os, "link", 5, False), "named": (os, "link", 5, True)}[sys.argv[1]]
original, calls = getattr(owner, name), 0
def dies(*values):
    global calls
    calls += 1
    if calls == number:
        if after:
            original(*(value[:len(value) // 2] if isinstance(value, bytes) else value for value in values))
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*values)
setattr(owner, name, dies)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("moment", ["write", "line", "half a line", "name", "named"])
def test_killed_at_any_moment_of_a_picture(place: Path, whole: dict[str, bytes], moment: str) -> None:
    killed = subprocess.run([sys.executable, "-c", DIE, moment, *command()], stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL
    partial = snapshot(place / "out")
    assert len(partial) < N_PICTURES
    assert all(whole[name] == content for name, content in partial.items())
    assert main(command()) == 0
    assert snapshot(place / "out") == whole


def test_killed_while_results_are_replaced(place: Path, whole: dict[str, bytes]) -> None:
    assert main(command("--strength", "0.5")) == 0
    run = start()
    while len(whole.items() & snapshot(place / "out").items()) < 5 and run.poll() is None:
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert main(command()) == 0
    assert snapshot(place / "out") == whole


def test_two_processes_on_one_folder(place: Path, whole: dict[str, bytes]) -> None:
    runs = [start("--report", f"{name}.json") for name in "ab"]
    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert snapshot(place / "out") == whole
    lines = (place / "out" / ".sgt-manifest.jsonl").read_text().splitlines()
    outputs = {json.loads(line).get("output") for line in lines}
    assert {name for name in outputs if name} == set(whole)
    for name in "ab":
        counts = json.loads((place / f"{name}.json").read_text())["counts"]
        assert sum(counts.values()) == counts.get("made", 0) + counts.get("done before", 0) == N_PICTURES


def test_shards_at_once_make_the_whole(
    place: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [start("--shard", f"{number}/3") for number in (1, 2, 3)]
    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert snapshot(place / "out") == whole
    capsys.readouterr()
    assert main(command()) == 0
    assert "all 24 pictures are done already: out" in capsys.readouterr().err


def test_a_second_run_says_what_it_skips(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "photos" / "0" / "bad.png").write_bytes(b"no picture")
    assert main(command("--report", "report.json")) == 6
    capsys.readouterr()
    PilImage.new("RGB", (8, 8)).save(place / "photos" / "new.png")
    assert main(command("--report", "report.json")) == 6
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "24 of 26 are done already"
    assert lines[2].startswith("failed: cannot read photos/0/bad.png: ")
    assert lines[3].startswith("1 picture in ")
    assert lines[3].endswith(": out")
    assert lines[4] == f"{Path('photos/0/bad.png')}: Kinds that are read: {', '.join(sorted(s[1:] for s in SUFFIXES))}."
    assert lines[5] == "sgt: 1 of 26 pictures failed (named above); the others are in out"
    report = json.loads((place / "report.json").read_text())
    assert report["counts"] == {"done before": 24, "failed": 1, "made": 1}
    assert [Path(file["input"]).name for file in report["files"] if "error" in file] == ["bad.png"]
    assert all(file["width"] and file["blake2b"] for file in report["files"] if "error" not in file)


def test_what_is_in_the_way_is_refused_before_the_model_is_looked_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "out" / "0").mkdir(parents=True)
    (place / "out" / "0" / "00.png").write_bytes(b"mine")
    assert main(["images", "photos", "out", "--model", "missing.onnx"]) == 5
    assert str(Path("out/0/00.png")) in capsys.readouterr().err
    assert main(command()) == 5
    assert snapshot(place / "out") == {"0/00.png": b"mine"}
    assert main(command("--overwrite")) == 0
    assert len(snapshot(place / "out")) == N_PICTURES


def test_interrupted_it_says_what_is_done(place: Path) -> None:
    run = start("--report", "report.json", first=SLOW_WRITES)  # else it may be over before a busy machine looks again
    while len(snapshot(place / "out")) < 3 and run.poll() is None:
        time.sleep(0.001)
    run.send_signal(signal.SIGINT)
    said = run.communicate()[1]
    assert run.returncode == 130, said
    *_, done, stopped = said.splitlines()
    assert done.endswith(" of 24 pictures are done; the same command does the others")
    assert stopped == "sgt: stopped"
    report = json.loads((place / "report.json").read_text())
    assert report["ended"] == "interrupted"
    assert len(report["files"]) == N_PICTURES
    assert list((place / "out").rglob("*.tmp")) == []


def test_a_full_disk_ends_the_run_with_one_message(place: Path, whole: dict[str, bytes]) -> None:
    limit = max(map(len, whole.values())) - 1  # the shorter half of the pictures fits

    run = start(
        "--report",
        "report.json",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
    )
    said = run.communicate()[1]
    assert run.returncode == 5, said
    assert said.count("sgt: ") == 1
    assert "type the same command" in said
    made = snapshot(place / "out")
    assert all(whole[name] == content for name, content in made.items())
    assert list((place / "out").rglob("*.tmp")) == []
    assert main(command()) == 0
    assert snapshot(place / "out") == whole


def test_a_log_ends_with_what_to_do_about_each_kind_of_failure(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = place / "photos"
    for number in range(3):
        (photos / f"{number}" / "empty.png").touch()
    (photos / "a heic.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    assert main(command()) == 6
    *_, most, other, last, what = capsys.readouterr().err.splitlines()
    assert most == f"{Path('photos/0/empty.png')} and 2 more: Copy or download it again."
    assert other == f"{Path('photos/a heic.jpg')}: Convert it to PNG or JPEG first."
    assert last == "sgt: 4 of 28 pictures failed (named above); the others are in out"
    assert what == "  Do what is said above, then type the same command: what is done is not done again."


def test_a_million_failures_are_told_in_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [(Path(f"{i}.png"), InputError("no", hint=f"Remedy {i % 8}.")) for i in range(1000)]
    locked = [(path, InputError("no", hint=f"Give it: chmod u+r {path}")) for path, _ in kinds * 2]
    _say_remedies([*kinds, *locked, (Path("x"), InputError("of which nothing can be said"))])
    first, second, *_, last = lines = capsys.readouterr().err.splitlines()
    assert first == "0.png and 1999 more: Give it: chmod u+r 0.png"
    assert second == "0.png and 124 more: Remedy 0."
    assert last == "500 pictures failed for other reasons: what to do about each is written by --report FILE.json"
    assert len(lines) == MOST_REMEDIES + 1


@pytest.mark.parametrize("one", [True, False], ids=["a picture", "a folder"])
def test_a_place_that_cannot_be_is_the_outputs_failure(
    one: bool, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = "x" * 300
    source, target = ("photos/0/00.png", f"{out}.png") if one else ("photos", out)
    assert main(["images", source, target, "--model", "A2B.onnx"]) == 5
    assert capsys.readouterr().err.startswith(f"sgt: cannot write {target}: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter everywhere")
@pytest.mark.parametrize("name", ["locked", "locked/out", "locked/a/b", "locked/x.png"])
def test_a_folder_that_cannot_be_entered_is_refused_at_once(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "photos/0/00.png" if name.endswith(".png") else "photos"
    for mode in (0o600, 0o000):
        (place / "locked").mkdir(mode=mode)
        try:
            assert main(["images", source, name, "--model", "A2B.onnx"]) == 5
            assert main(["images", source, "out", "--model", "A2B.onnx", "--report", "locked/r.json"]) == 5
        finally:
            (place / "locked").chmod(0o700)
            (place / "locked").rmdir()
        assert "ls -ld locked" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_at_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "out").mkdir(mode=0o555)
    assert main(command()) == 5
    assert "you may not write in out" in capsys.readouterr().err


def test_a_blended_picture_is_another_result(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("--strength", "0")) == 0
    for name in snapshot(place / "out"):
        result, source = read_picture(place / "out" / name), read_picture(place / "photos" / name)
        assert np.array_equal(result.image, source.image)
    capsys.readouterr()
    assert main(command("--strength", "0")) == 0
    assert "all 24 pictures are done already" in capsys.readouterr().err
    assert main(command("--compare", "side")) == 0
    with PilImage.open(place / "out" / "0" / "00.png") as shown:
        assert shown.size == (60, 20)


def test_bad_options_are_usage_errors(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (("--shard", "4/3"), ("--strength", "1.5")):
        assert main(command(*more)) == 2
        assert more[0] in capsys.readouterr().err
    assert not (place / "out").exists()


@pytest.mark.parametrize("on_gpu", [False, True])
def test_what_becomes_no_number_is_named_and_the_others_are_made(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], on_gpu: bool
) -> None:
    """In a batch, too, as on a GPU."""
    monkeypatch.setattr(Session, "on_gpu", on_gpu)
    write_nan_model(place / "A2B.onnx", make_info("A2B"))
    source = np.random.default_rng(0).integers(0, 255, (N_PICTURES, 20, 30, 3), np.uint8)
    source[5, 3, 4, 1] = 255
    for i, image in enumerate(source):
        PilImage.fromarray(image).save(place / "photos" / f"{i % 3}" / f"{i:02}.png")
    assert main(command()) == 6
    said = capsys.readouterr().err
    name = str(Path("photos", "2", "05.png"))
    assert f"failed: {name}: A2B.onnx made values of 32x20 pixels that are no finite numbers (NaN)" in said
    assert len(snapshot(place / "out")) == N_PICTURES - 1
    assert (read_picture(place / "out" / "0" / "06.png").image == source[6]).all()


def test_a_model_that_makes_pictures_blank_is_noted_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_colour_model(place / "A2B.onnx", RED, make_info("A2B"))
    assert main(command()) == 0
    assert capsys.readouterr().err.count(f"A2B.onnx makes one colour of {Path('photos', '0', '00.png')}") == 1
