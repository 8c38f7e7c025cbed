"""Fixtures that all rooms' tests share."""

import os
from pathlib import Path

# Before torch is imported: networks as small as the tests' run faster without a second thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from tests.models import BLUE, RED, make_info, write_colour_model

# How long an example takes says what else the machine does, above all with several processes at once.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_installed_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user of this machine has installed is none of the tests' business."""
    monkeypatch.setenv("SGT_MODELS", str(tmp_path_factory.mktemp("installed")))


@pytest.fixture
def both_ways(tmp_path: Path) -> Path:
    """A model folder that cannot be mistaken: A2B (photo -> vangogh) turns red, B2A turns blue."""
    folder = tmp_path / "style"
    write_colour_model(folder / "A2B.onnx", RED, make_info("A2B"))
    write_colour_model(folder / "B2A.onnx", BLUE, make_info("B2A"))
    return folder


@pytest.fixture
def noise_image() -> NDArray[np.uint8]:
    """A picture of noise, (70,90,3)."""
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to type commands in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
