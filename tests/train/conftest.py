"""What every test of the trainer needs: the same machine everywhere, and a folder with pictures to learn from."""

from pathlib import Path

import pytest

from tests.train.sets import make_set
from tests.train.sets import one_cpu_thread as one_cpu_thread


@pytest.fixture
def with_set(in_folder: Path) -> Path:
    """A folder to type `sgt train photo2vangogh` in: three red photos, two blue paintings."""
    make_set(in_folder / "datasets" / "photo2vangogh")
    return in_folder
