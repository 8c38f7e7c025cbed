"""`sgt export`: which run it takes, what it writes into the models, and what it refuses to keep."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from stylegan_export import to_onnx
from stylegan_tool import __version__
from stylegan_tool.__main__ import main
from stylegan_tool.model_info import SCHEMA
from stylegan_tool.models import choose_model
from stylegan_tool.options import TileOption
from stylegan_tool.session import Session, read_model_info
from stylegan_tool.stylize import Stylizer
from stylegan_train.networks import SIZE_MULTIPLE, SMALLEST_SIZE, Generator, receptive_field_px
from tests.export.test_to_onnx import SIDES
from tests.train.sets import TINY, make_set
from tests.train.test_checkpoint import Hostile


@pytest.fixture
def built_before(made_once: Path, monkeypatch: pytest.MonkeyPatch) -> list[Generator]:
    """Hand out the graphs built once, A2B's first, instead of building them; return what was to be built."""
    asked: list[Generator] = []

    def build(generator: Generator) -> onnx.ModelProto:
        asked.append(generator)
        return onnx.load(made_once / f"{('A2B', 'B2A')[(len(asked) - 1) % 2]}.onnx")

    monkeypatch.setattr("stylegan_export.to_onnx.build_onnx", build)
    return asked


def _names(run: Path) -> set[str]:
    return {path.name for path in run.iterdir()}


@pytest.mark.parametrize(("direction", "name"), SIDES)
def test_the_model_says_what_it_is(made_once: Path, direction: str, name: str) -> None:
    info = read_model_info(made_once / f"{direction}.onnx")
    assert (info.schema, info.direction, info.style) == (SCHEMA, direction, "photo2vangogh")
    assert (info.domain_a, info.domain_b) == ("photo", "vangogh")  # though the folder's A are the paintings
    assert (info.source, info.target) == (("photo", "vangogh") if direction == "A2B" else ("vangogh", "photo"))
    assert (info.ngf, info.n_blocks, info.trained_size) == (4, 1, 32)
    assert (info.size_multiple, info.smallest_size) == (SIZE_MULTIPLE, SMALLEST_SIZE)
    assert info.receptive_field == receptive_field_px(1)
    assert (info.upsampling, info.normalization, info.precision) == ("nearest", "instance", "fp32")
    assert (info.run, info.tool_version) == (made_once.name, __version__)
    assert (info.training_data, info.data_license) == ("vangogh2photo", "made on the spot")
    assert 0 < float(info.parity_max_abs) <= 1e-4
    assert "noise 1x64x64, 2x64x64" in info.parity_checked


def test_the_newest_trained_run_is_exported(
    trained: Path, built_before: list[Generator], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = trained.parent
    shutil.copytree(trained, runs / "monet-002")
    trained.rename(runs / "garden-010")  # by number, not by name or age
    (runs / "unfinished-011").mkdir()
    assert main(["export"]) == 0
    assert {"A2B.onnx", "B2A.onnx"} <= _names(runs / "garden-010")
    assert len(built_before) == 2
    assert not list((runs / "monet-002").glob("*.onnx"))
    message = capsys.readouterr().err
    assert "runs/garden-010/A2B.onnx: photo -> vangogh" in message
    assert "runs/garden-010/B2A.onnx: vangogh -> photo" in message
    assert "after epoch 1; differs from torch by" in message
    assert "sgt images PICTURES OUT --to vangogh" in message
    assert choose_model(None).label == str(Path("runs/garden-010"))


@pytest.mark.usefixtures("built_before")
def test_a_named_run_is_exported_again_over_its_own_files(exported: Path, made_once: Path) -> None:
    assert main(["export", str(exported)]) == 0
    assert _names(exported) == _names(made_once)
    assert read_model_info(exported / "A2B.onnx").data_license == "not stated"


def test_from_inside_a_run_the_dot_is_the_run(
    trained: Path, built_before: list[Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    assert main(["export", "."]) == 0
    assert read_model_info(Path("A2B.onnx")).run == "photo2vangogh-001"


def test_each_direction_gets_its_generator(trained: Path, built_before: list[Generator]) -> None:
    assert main(["export"]) == 0
    checkpoint = torch.load(trained / "checkpoint.pt", weights_only=True)
    for generator, (_, name) in zip(built_before, SIDES, strict=True):
        assert not generator.training
        assert all(map(torch.equal, generator.state_dict().values(), checkpoint[name].values()))


def test_the_best_epoch_can_be_exported_instead_of_the_last(
    trained: Path, built_before: list[Generator], made_once: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latest = torch.load(trained / "checkpoint.pt", weights_only=True)
    torch.save({**latest, "epoch": 7, "swd_mean": 3.0}, trained / "checkpoint_best.pt")
    torch.save({**latest, "gen_ab": {}, "epoch": 9}, trained / "checkpoint.pt")
    assert main(["export", "--checkpoint", "best"]) == 0
    assert "after epoch 7; differs" in capsys.readouterr().err
    assert all(map(torch.equal, built_before[0].state_dict().values(), latest["gen_ab"].values()))


# --- refusals -------------------------------------------------------------------------------------


def test_a_run_without_a_best_epoch_is_3(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(trained), "--checkpoint", "best"]) == 3
    message = capsys.readouterr().err
    assert "no best checkpoint" in message
    assert f"sgt export {trained}" in message
    assert main(["export", "--checkpoint", "worst"]) == 2
    assert "latest or best" in capsys.readouterr().err


def _spoil_after(build: Callable[[Generator], onnx.ModelProto], number: int) -> Callable[[Generator], onnx.ModelProto]:
    """Build as before, but change the weights after the `number`-th graph is built."""
    calls = 0

    def spoiling(generator: Generator) -> onnx.ModelProto:
        nonlocal calls
        calls += 1
        model = build(generator)
        if calls == number:
            with torch.no_grad():
                next(generator.parameters()).mul_(-1)
        return model

    return spoiling


@pytest.mark.usefixtures("built_before")
@pytest.mark.parametrize("number", [1, 2], ids=["A2B", "B2A"])
def test_a_file_that_is_not_the_trained_network_is_not_kept(
    number: int, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _names(trained)
    monkeypatch.setattr(to_onnx, "build_onnx", _spoil_after(to_onnx.build_onnx, number))
    assert main(["export"]) == 4
    message = capsys.readouterr().err
    assert "differs from torch by" in message
    assert "not kept" in message
    assert "Traceback" not in message
    assert _names(trained) == before


@pytest.mark.usefixtures("built_before")
def test_a_refused_file_leaves_the_good_one_as_it_was(
    exported: Path, made_once: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_onnx, "build_onnx", _spoil_after(to_onnx.build_onnx, 1))
    assert main(["export", "--data-license", "another"]) == 4
    assert _names(exported) == _names(made_once)
    for name in ("A2B.onnx", "B2A.onnx"):
        assert (exported / name).read_bytes() == (made_once / name).read_bytes()


def test_no_run_is_3_and_says_what_to_type(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_folder / "runs" / "unfinished-001").mkdir(parents=True)
    assert main(["export", "--onnx"]) == 3
    message = capsys.readouterr().err
    assert "no trained run" in message
    assert "sgt train photo2vangogh" in message


def test_a_folder_that_is_no_run_is_3(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_folder / "pictures").mkdir()
    assert main(["export", "pictures"]) == 3
    assert "config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"no checkpoint", id="text"),
        pytest.param({"epoch": 1}, id="no generators"),
        pytest.param({"gen_ab": 3, "gen_ba": 3, "epoch": 1}, id="numbers for generators"),
        pytest.param([1], id="a list"),
        pytest.param({"gen_ab": Hostile(Path("marker"))}, id="hostile"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_nothing_of_it_runs(
    content: object, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained / "checkpoint.pt"
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    assert main(["export", str(trained)]) in (3, 4)
    message = capsys.readouterr().err
    assert "checkpoint" in message
    assert "Traceback" not in message
    assert not Path("marker").exists()
    assert not list(trained.glob("*.onnx"))


def test_another_runs_checkpoint_is_4(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = trained / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"ngf": 4', '"ngf": 5'), encoding="utf-8")
    assert main(["export"]) == 4
    assert "5 filters and 1 blocks" in capsys.readouterr().err


@pytest.mark.usefixtures("built_before")
def test_a_folder_that_cannot_be_written_to_is_5(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill_the_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stylegan_export.to_onnx.write_onnx", fill_the_disk)
    assert main(["export"]) == 5
    message = capsys.readouterr().err
    assert str(trained) in message
    assert "No space left on device" in message


@pytest.mark.parametrize("clamp", ["--clamp", "--no-clamp"])
def test_an_anti_aliased_run_is_exported_and_tiled_exactly(clamp: str, trained: Path) -> None:
    make_set(Path("datasets/photo2vangogh"))
    assert main([*TINY, "--epochs", "1", "--lr", "0.02", "--antialias", clamp]) == 0
    run = trained.parent / "photo2vangogh-002"
    assert main(["export", str(run)]) == 0
    info = read_model_info(run / "A2B.onnx")
    assert info.upsampling == "linear"
    assert info.receptive_field == receptive_field_px(1, antialias=True)
    session = Session(run / "A2B.onnx", provider="cpu")
    image = np.random.default_rng(0).integers(0, 256, (150, 211, 3), np.uint8)
    whole, tiled = (Stylizer(session, TileOption.parse(tile))(image).astype(int) for tile in ("off", "64"))
    assert np.abs(whole - tiled).max() <= 1
