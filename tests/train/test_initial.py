import shutil
from pathlib import Path

import pytest
import torch

from stylegan_tool.__main__ import main
from stylegan_tool.models import bundled_styles
from stylegan_train.checkpoint import read_plain
from stylegan_train.initial import read_initial
from tests.train.sets import TINY


@pytest.fixture
def trained(with_set: Path) -> Path:
    assert main([*TINY, "--epochs", "1", "--lr", "0.02"]) == 0
    return Path("runs/photo2vangogh-001")


def _start(name: str) -> int:
    """Start a run with those weights that changes them by as good as nothing."""
    return main([*TINY, "--epochs", "1", "--lr", "1e-12", "--init", name])


def _assert_same(first: Path, second: Path, *names: str) -> None:
    one, two = read_plain(first / "checkpoint.pt"), read_plain(second / "checkpoint.pt")
    for name in names:
        for key, value in one[name].items():
            torch.testing.assert_close(two[name][key], value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["runs/photo2vangogh-001", "photo2vangogh-001"])
def test_a_run_starts_with_the_generators_of_another(
    name: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _start(name) == 0
    _assert_same(trained, Path("runs/photo2vangogh-002"), "gen_ab", "gen_ba")
    assert f"--init {name}: gen_ab, gen_ba, disc_a and disc_b begin with its weights" in capsys.readouterr().err


def _discriminators(run: Path) -> dict[str, torch.Tensor]:
    networks = read_plain(run / "training_state.pt")["trainer"]["networks"]
    return {name: value for name, value in networks.items() if name.startswith("disc")}


def test_a_run_that_has_its_state_gives_its_discriminators_too(trained: Path) -> None:
    assert _start(str(trained)) == 0
    torch.testing.assert_close(
        _discriminators(Path("runs/photo2vangogh-002")), _discriminators(trained), rtol=0, atol=1e-9
    )


def test_a_run_whose_state_is_damaged_gives_its_generators(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trained / "training_state.pt").write_bytes(b"damaged")
    assert _start(str(trained)) == 0
    assert "gen_ab and gen_ba begin with its weights" in capsys.readouterr().err


def test_discriminators_of_another_size_start_anew(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                *TINY,
                "--preset",
                "compact",
                "--epochs",
                "1",
                "--ngf",
                "4",
                "--n-blocks",
                "1",
                "--crop-size",
                "32",
                "--load-size",
                "36",
                "--init",
                str(trained),
            ]
        )
        == 0
    )
    assert "gen_ab and gen_ba begin with its weights" in capsys.readouterr().err


def test_the_running_mean_starts_there_too(trained: Path) -> None:
    assert main([*TINY, "--epochs", "1", "--lr", "1e-12", "--average", "0.99", "--init", str(trained)]) == 0
    _assert_same(trained, Path("runs/photo2vangogh-002"), "gen_ab", "gen_ba")


def test_exported_generators_are_weights_to_start_with(trained: Path) -> None:
    assert main(["export", str(trained)]) == 0
    shutil.copytree(trained, "kept")
    (Path("kept") / "checkpoint.pt").unlink()
    assert _start("kept") == 0
    _assert_same(trained, Path("runs/photo2vangogh-002"), "gen_ab", "gen_ba")


def test_one_exported_file_is_one_generator(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(trained)]) == 0
    assert _start(str(trained / "B2A.onnx")) == 0
    _assert_same(trained, Path("runs/photo2vangogh-002"), "gen_ba")
    assert "gen_ba begin with its weights" in capsys.readouterr().err


def test_the_styles_that_ship_are_weights_to_start_with() -> None:
    for style in bundled_styles():
        states = read_initial(style)
        assert states.keys() == {"gen_ab", "gen_ba"}
        assert all(state["model.1.weight"].shape == (24, 3, 7, 7) for state in states.values())


def test_another_size_is_4_and_says_what_to_give(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--ngf", "6", "--init", str(trained)]) == 4
    message = capsys.readouterr().err
    assert "does not fit a generator of 6 filters and 1 blocks" in message
    assert "--ngf" in message


def test_nothing_to_start_with_is_4(with_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--init", "nowhere"]) == 4
    assert "--init nowhere: no model nowhere" in capsys.readouterr().err
