"""What every test of the trainer needs: the same machine everywhere, and a folder with pictures to learn from."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.train.sets import make_set


@pytest.fixture(scope="package", autouse=True)
def one_cpu_thread() -> Iterator[None]:
    """Tiny networks only lose by threads, and a GPU would make the numbers others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def with_set(in_folder: Path) -> Path:
    """A folder to type `sgt train photo2vangogh` in: three red photos, two blue paintings."""
    make_set(in_folder / "datasets" / "photo2vangogh")
    return in_folder
