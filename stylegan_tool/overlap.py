"""Let the steps of a chain of generators run at the same time, in threads, with little held between them.

`decode -> stylise -> encode` is written as plain generators, one taking from the other; `ahead` around one of them
moves it into a thread of its own. The libraries that do the work (FFmpeg, ONNX Runtime, Pillow, OpenCV) let go of
Python's lock while they do it, so threads suffice. Order is kept, errors come out where the item would have.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _End:
    """Follows the last item; carries what ended them if that was an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], *, depth: int = 2) -> Generator[T, None, None]:
    """Yield `items`, taken from it in a thread of their own while the caller is busy.

    At most `depth` wait, one more is in the making. What `items` raises is raised here, after the items before it.
    Closing this generator (or an error in its consumer that closes it) ends the thread after the item in the making
    and closes `items`, in that thread.

    Args:
        depth: 1 <= depth.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    unwanted = threading.Event()

    def take() -> None:
        end = _End()
        try:
            for item in items:
                waiting.put(item)
                if unwanted.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 raised again where the items are wanted
            end = _End(error)
        finally:
            close: Callable[[], None] | None = getattr(items, "close", None)
            if close is not None:
                try:
                    close()
                except BaseException as error:  # noqa: BLE001 as above
                    end = _End(end.error or error)
            waiting.put(end)

    thread = threading.Thread(target=take, name="ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        unwanted.set()
        while thread.is_alive():  # it may be waiting for room
            with suppress(queue.Empty):
                waiting.get(timeout=0.01)
        thread.join()


def mapped(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, depth: int | None = None
) -> Generator[R, None, None]:
    """Yield function(item) for each of `items`, in their order, computed by `workers` threads.

    `items` is read in the caller's thread, never more than `depth` (by default `workers`) beyond the result that is
    yielded. What `function` raises is raised in its item's place.

    Args:
        workers, depth: at least 1.
    """
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="mapped") as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > (depth or workers):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class Room:
    """A bound to how much is on its way between threads at once, where items differ in size.

    Args:
        size: of the room, in whatever unit; items larger than half of it count as that half, so that there is room for
            two items of any size.
    """

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._free = size
        self._closed = False
        self._changed = threading.Condition()

    def take(self, size: int) -> int:
        """Wait until there is room for `size`, and return what is to be given back for it."""
        size = min(size, self._half)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._free >= size)
            self._free -= size
        return size

    def give_back(self, size: int) -> None:
        """Make room again."""
        with self._changed:
            self._free += size
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer: the work ends."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
