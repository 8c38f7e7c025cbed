"""One tiny run, trained and exported once, for all tests of the exporter."""

import contextlib
import shutil
from pathlib import Path

import pytest

from stylegan_tool.__main__ import main
from tests.train.sets import TINY, make_set
from tests.train.sets import one_cpu_thread as one_cpu_thread


@pytest.fixture(scope="package")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/photo2vangogh-001, trained on a set with exchanged sides and exported by the command."""
    folder = tmp_path_factory.mktemp("made_once")
    make_set(folder / "datasets" / "vangogh2photo")
    with contextlib.chdir(folder):
        assert main([*TINY, "--epochs", "1", "--lr", "0.02"]) == 0
        assert main(["export", "--onnx", "--data-license", "made on the spot"]) == 0
    return folder / "runs" / "photo2vangogh-001"


@pytest.fixture
def exported(made_once: Path, in_folder: Path) -> Path:
    """A copy of that run in runs/ of the folder to type commands in."""
    run = in_folder / "runs" / made_once.name
    shutil.copytree(made_once, run)
    return run.relative_to(in_folder)


@pytest.fixture
def trained(exported: Path) -> Path:
    """The same, not yet exported."""
    for path in exported.glob("*.onnx"):
        path.unlink()
    return exported
