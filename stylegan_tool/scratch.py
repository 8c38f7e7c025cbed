"""Large arrays between two passes over a picture: in memory, or in files that vanish by themselves.

A scratch file has no name while it is used (on Windows the system deletes it when it is closed), so that nothing
is left behind, whatever ends the program.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.errors import ComputeError


def scratch_folder() -> Path:
    """Return where scratch files go: TMPDIR if set, else /var/tmp where there is one.

    /tmp is memory on many systems, and memory is what is short.
    """
    if "TMPDIR" not in os.environ and Path("/var/tmp").is_dir() and os.access("/var/tmp", os.W_OK):
        return Path("/var/tmp")
    return Path(tempfile.gettempdir())


def check_space(size: int) -> None:
    """Raise ComputeError now if the disk has not `size` bytes free, rather than in the middle of the work."""
    free = shutil.disk_usage(scratch_folder()).free
    if free < size:
        raise _no_space(size, f"{free / 2**30:.1f} GiB are free")


def _no_space(size: int, reason: object) -> ComputeError:
    return ComputeError(
        f"no {size / 2**30:.1f} GiB of disk for scratch files in {scratch_folder()}: {reason}",
        hint="Set TMPDIR to a folder on a larger disk, or allow more memory: --memory 8G",
    )


def allocate(shape: tuple[int, ...], dtype: np.dtype[np.generic], *, on_disk: bool) -> NDArray[np.generic]:
    """Return an array that is still to be filled.

    Raises:
        ComputeError: there is not so much space on the disk.
        MemoryError: there is not so much memory.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if not on_disk:
        return np.empty(shape, dtype)
    folder = scratch_folder()
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="sgt-") as file:
            # Reserved now: to run out of disk while writing through a mapping kills the program.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        raise _no_space(size, error.strerror or error) from error
