import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool import __version__
from stylegan_tool.__main__ import main
from stylegan_tool.cli import COMMANDS

HEAVY = ("numpy", "onnx", "onnxruntime", "torch", "cv2", "av", "PIL", "rich", "scenedetect")


def _loaded_after(argv: list[str]) -> set[str]:
    code = (
        "import sys\nfrom stylegan_tool.__main__ import main\n"
        f"code = main({argv!r})\nassert code in (0, 2), code\n"
        f"print('|'.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split("|")) - {""}


@pytest.mark.parametrize("argv", [["--help"], [], ["--version"]], ids=["--help", "nothing typed", "--version"])
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    assert _loaded_after(argv) == set()


@pytest.mark.parametrize("command", ["images", "video", "demo", "evaluate", "gallery", "models", "doctor"])
def test_a_commands_help_imports_nothing_heavy(command: str) -> None:
    assert _loaded_after([command, "--help"]) == set()


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert name in out
        assert command.help in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_own_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Usage: sgt {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"stylegan-tool {__version__}\n"


@pytest.mark.parametrize("name", ["train", "export"])
def test_without_torch_the_line_to_install_it_is_printed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    assert main([name]) == 7
    assert "pip install 'stylegan-tool[train]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        pytest.param(["frobnicate"], 2, "no command frobnicate", id="unknown command"),
        pytest.param(["images", "in.png", "out", "--direction", "A2C"], 2, "--direction", id="unknown direction"),
        pytest.param(["images", "in.png", "out", "--tile", "tiny"], 2, "--tile", id="unknown tile"),
        pytest.param(["images", "missing.png", "out"], 3, "missing.png", id="missing picture"),
        pytest.param(["video", "missing.mp4", "out.mp4"], 3, "missing.mp4", id="missing film"),
        pytest.param(["images", "in.png", "out", "--model", "rembrandt"], 4, "rembrandt", id="unknown model"),
        pytest.param(["images", "in.png", "there.png"], 5, "there.png", id="would be overwritten"),
        pytest.param(["images", "in.png", "out", "--provider", "cpu", "--require-gpu"], 7, "GPU", id="no GPU"),
    ],
)
def test_exit_codes(argv: list[str], code: int, said: str, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("in.png", "there.png"):
        PilImage.new("RGB", (8, 8)).save(in_folder / name)
    assert main(argv) == code
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert not (in_folder / "out").exists()


def test_some_of_a_folder_failed_is_6(both_ways: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_folder / "in").mkdir()
    PilImage.new("RGB", (8, 8)).save(in_folder / "in" / "good.png")
    (in_folder / "in" / "bad.jpg").write_bytes(b"?")
    assert main(["images", "in", "out", "--model", str(both_ways)]) == 6
    assert (in_folder / "out" / "good.png").is_file()
    message = capsys.readouterr().err
    assert "bad.jpg" in message
    assert "1 of 2 pictures failed" in message


def test_the_one_named_picture_unreadable_is_3(both_ways: Path, in_folder: Path) -> None:
    (in_folder / "bad.jpg").write_bytes(b"?")
    assert main(["images", "bad.jpg", "out", "--model", str(both_ways)]) == 3
    assert not (in_folder / "out").exists()


def test_an_interrupt_is_130(
    both_ways: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr("stylegan_tool.stylize.Stylizer.__call__", interrupt)
    PilImage.new("RGB", (8, 8)).save(in_folder / "in.png")
    assert main(["images", "in.png", "out", "--model", str(both_ways)]) == 130
    assert capsys.readouterr().err.endswith("sgt: stopped\n")


def test_16_bit_alpha_and_orientation_come_through(both_ways: Path, in_folder: Path) -> None:
    picture = PilImage.new("RGBA", (30, 20), (10, 20, 30, 0))
    picture.paste((10, 20, 30, 255), (0, 0, 15, 20))
    exif = PilImage.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    picture.save(in_folder / "in.png", exif=exif)
    assert main(["images", "in.png", "out.png", "--model", str(both_ways)]) == 0
    with PilImage.open(in_folder / "out.png") as result:
        assert (result.size, result.mode) == ((20, 30), "RGBA")
        assert result.getexif().get(0x0112, 1) == 1
        alpha = np.asarray(result)[:, :, 3]
        assert (alpha[:15] == 255).all()
        assert (alpha[15:] == 0).all()


def test_models_list_and_info(both_ways: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_folder / "runs" / "photo2vangogh-001"
    run.parent.mkdir()
    run.symlink_to(both_ways)
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("vangogh (bundled)" in line and not line.startswith("*") for line in lines)
    assert sum(line.startswith("*") and "photo2vangogh-001" in line for line in lines) == 2
    assert main(["models", "info", str(run)]) == 0
    assert "photo -> vangogh (A2B)" in capsys.readouterr().out


def test_a_damaged_run_is_listed_as_damaged(
    both_ways: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (in_folder / "runs" / "z-001").mkdir(parents=True)
    (in_folder / "runs" / "z-001" / "A2B.onnx").write_bytes(b"junk")
    assert main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert "damaged" in out
    assert "vangogh (bundled)" in out


def _photo(folder: Path, name: str, height: int, width: int) -> Path:
    y, x = np.mgrid[:height, :width]
    waves = 127 + 100 * np.stack([np.sin(x / 9), np.sin(y / 13), np.sin((x + y) / 30)], axis=-1)
    PilImage.fromarray(waves.astype(np.uint8)).save(folder / name)
    return folder / name


def test_a_plan_says_what_it_takes_and_does_nothing(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_folder / "photos").mkdir()
    _photo(in_folder / "photos", "large.png", 420, 900)
    _photo(in_folder / "photos", "small.png", 60, 70)
    assert main(["images", "photos", "out", "--to", "vangogh", "--plan", "--tile", "384"]) == 0
    large, small, both = capsys.readouterr().out.splitlines()
    assert re.search(r"large.png  900x420: 6 tiles of 384 pixels in 16 passes, \d+ MB of memory, about [\d.]+ s", large)
    assert "small.png  70x60: untiled in 16 passes, " in small
    assert both.startswith("2 pictures: at most ")
    assert not (in_folder / "out").exists()


def test_a_plan_names_scratch_files(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _photo(in_folder, "large.png", 420, 900)
    assert main(["images", "large.png", "out", "--to", "vangogh", "--plan", "--memory", "20M"]) == 0
    assert re.search(r"tiles of \d+ .* of memory and \d+ MB of scratch files", capsys.readouterr().out)


def test_verify_prints_the_difference(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _photo(in_folder, "photo.png", 200, 400)
    assert main(["images", "photo.png", "out", "--to", "vangogh", "--verify", "--tile", "128"]) == 0
    assert re.search(
        r"photo.png: 400x200 in the middle, tiled .* at most [01]/255, .* (99\.9\d*|100\.000) % identical",
        capsys.readouterr().err,
    )


def test_other_statistics_are_chosen_and_said(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _photo(in_folder, "photo.png", 300, 500)
    common = ["images", "photo.png", "out", "--to", "vangogh", "--tile", "304", "--overwrite", "--tile-stats"]
    for statistics, words in (("thumbnail", "a thumbnail's statistics"), ("local", "statistics of their own")):
        assert main([*common, statistics]) == 0
        assert f"tiles of 304 pixels with {words}" in capsys.readouterr().err


def test_a_plan_names_what_it_cannot_read_and_goes_on(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_folder / "photos").mkdir()
    _photo(in_folder / "photos", "good.png", 60, 70)
    (in_folder / "photos" / "bad.png").write_bytes(b"no picture")
    assert main(["images", "photos", "out", "--to", "vangogh", "--plan"]) == 6
    said = capsys.readouterr()
    assert "good.png  70x60" in said.out
    assert "failed: " in said.err
    assert "bad.png" in said.err


def test_verify_says_where_there_is_nothing_to_verify(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _photo(in_folder, "small.png", 60, 70)
    assert main(["images", "small.png", "out", "--to", "vangogh", "--verify"]) == 0
    assert "small.png: 70x60 in the middle: too small to be tiled" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["images", "video"])
def test_a_file_that_may_not_be_read_is_unreadable_input_and_no_wrong_usage(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Click's own check comes first, and root may read everything: so the check itself is made to fail."""
    (in_folder / "secret.mp4").write_bytes(b"nothing to see")
    monkeypatch.setattr(os, "access", lambda path, mode, **_: "secret" not in str(path))
    assert main([command, "secret.mp4", "out.mp4" if command == "video" else "out"]) == 3
    assert "secret.mp4" in capsys.readouterr().err
