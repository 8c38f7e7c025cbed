"""Ctrl-C asks training to stop after the step it is in; a second one stops it at once.

A KeyboardInterrupt in the middle of a step would leave generators that are updated and discriminators that are not,
and a state saved then could never end with the weights of a run that went through.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Stopped(KeyboardInterrupt):  # an interrupt like its parent, not an error
    """Training was asked to stop, and everything is saved."""


class Stop:
    """Whether a stop was asked for."""

    def __init__(self, *, says: bool) -> None:
        self.asked = False
        self.says = says

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if not self.says:
            return
        # Not `say`: the signal may have come in the middle of one, whose buffer takes no second writer.
        with contextlib.suppress(OSError):
            os.write(2, b"\nStopping after this step. Ctrl-C again stops at once, without saving.\n")


@contextlib.contextmanager
def stop_on_ctrl_c(*, says: bool = True) -> Iterator[Stop]:
    """Catch Ctrl-C inside the block, and answer it with a line unless others do.

    Only the main thread gets signals; elsewhere, and where the parent process has them ignored (`nohup`, `&` in a
    script), everything stays as it is.
    """
    stop, before = Stop(says=says), signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield stop
        return
    signal.signal(signal.SIGINT, stop._ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
