"""A Ray cluster of two nodes on this machine, each with room for one worker."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Models that are sent are kept in a user's cache folder, which is none of the tests' business."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def cluster(_cache: None) -> Iterator[Any]:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray's own patience ends after 30 s, of which a busy machine has been seen to take 27.
    head = {"num_cpus": 1, "include_dashboard": False, "wait": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    started.add_node(num_cpus=1, wait=False)
    started.wait_for_nodes(timeout=120)
    yield started
    started.shutdown()


@pytest.fixture
def address(cluster: Any) -> str:
    return str(cluster.address)


def worker_processes() -> list[psutil.Process]:
    """Return the processes of this test's Ray that hold a worker."""
    return [one for one in psutil.Process().children(recursive=True) if "MapWorker" in "".join(_cmdline(one))]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@contextmanager
def one_killed(when: Callable[[], bool]) -> Iterator[list[int]]:
    """Kill a worker as soon as `when` says so; give its process id, if it came to that."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set() and not killed:
            if when() and (workers := worker_processes()):
                killed.append(workers[0].pid)
                os.kill(workers[0].pid, signal.SIGKILL)
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield killed
    finally:
        over.set()
        watcher.join()
