"""Pillow and its libtiff say nothing of their own while pictures are read: what is wrong with a file, we say.

Pillow warns through `warnings`, whose filters belong to the whole process: they are changed once for all threads.
"""

import contextlib
import ctypes
import logging
import threading
import warnings

import PIL._imaging

with contextlib.suppress(OSError, AttributeError):  # where Pillow brings no libtiff, or one that cannot be reached
    # It prints what it finds wrong with a file, and Pillow has no switch for that.
    ctypes.CDLL(PIL._imaging.__file__).TIFFSetErrorHandler(None)
logging.getLogger("PIL").addHandler(logging.NullHandler())  # without any, errors are printed


class _PillowKeptQuiet:
    """From the first of several threads that read at once to the last, Pillow's warnings are ignored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._filters.__exit__(None, None, None)


pillow_kept_quiet = _PillowKeptQuiet()
