"""A connection to a Ray cluster: the only file that imports ray.

What Ray prints is kept off the terminal: a worker that dies is no news, since its batch is done again by another one.
"""

import contextlib
import importlib.util
import io
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from stylegan_tool.cluster.workers import Failure, Said, pack, unpack
from stylegan_tool.errors import ComputeError, MissingError, SgtError, UsageError, first_line

R = TypeVar("R")

_LOCAL = "local"  # Ray's word for one that is started for this process and ends with it
_ANSWER_S = 10  # until a machine is given up
_WAIT_S = 20  # until it is said that work has to wait


@dataclass(frozen=True)
class Crew:
    """How many workers a cluster has room for: one on each machine, or one on each GPU.

    Attributes:
        beside: on one machine, at most.
        gpus: of each worker.
    """

    count: int
    machines: int
    beside: int
    gpus: int

    def describe(self) -> str:
        """Return '3 workers on 2 machines'."""
        workers = "1 worker" if self.count == 1 else f"{self.count} workers"
        return f"{workers} on {self.machines} machine{'s' if self.machines > 1 else ''}"


def plan_crew(machines: Sequence[Mapping[str, float]], *, wants_gpu: bool) -> Crew:
    """Return the workers for machines of these resources, as Ray names them.

    On a CPU a session uses all cores of its machine, so that a second one beside it would bring nothing.

    Args:
        wants_gpu: work on GPUs where there are any, and then nowhere else.

    Raises:
        MissingError: there is nothing to work on.
    """
    gpus = [int(machine.get("GPU", 0)) for machine in machines]
    if wants_gpu and any(gpus):
        used = [count for count in gpus if count]
        return Crew(sum(used), len(used), max(used), 1)
    used = [1 for machine in machines if machine.get("CPU", 0) >= 1]
    if not used:
        raise MissingError(
            "the Ray cluster has no CPUs to work on",
            hint="Give its machines some: ray start --address HOST:6379 --num-cpus 4",
        )
    return Crew(len(used), len(used), 1, 0)


class Cluster:
    """A cluster that is connected to."""

    def __init__(self, machines: Sequence[Mapping[str, float]], say: Callable[[str], None]) -> None:
        self._machines, self._say = machines, say

    def plan_crew(self, *, wants_gpu: bool, require_gpu: bool) -> Crew:
        """Return the workers that there will be.

        Raises:
            MissingError: no GPU where one is required, or no CPU.
        """
        crew = plan_crew(self._machines, wants_gpu=wants_gpu)
        if require_gpu and not crew.gpus:
            raise MissingError(
                "no machine of the Ray cluster has a GPU that Ray knows of",
                hint="`ray status` shows what it knows. Leave --require-gpu out to run on CPUs.",
            )
        return crew

    def ask(self, crew: Crew, function: Callable[..., R], *values: Any) -> R:
        """Return function(*values) as one of the crew's workers returns it.

        Raises:
            SgtError: what `function` raises.
            MissingError: this package is missing there.
        """
        import ray

        def answer() -> R | Failure:
            try:
                return function(*values)
            except SgtError as error:
                return Failure(error)

        with _ray_errors():
            asked = ray.remote(num_cpus=0 if crew.gpus else 1, num_gpus=crew.gpus)(answer).remote()
            if not ray.wait([asked], timeout=_WAIT_S)[0]:
                self._say("waiting for a free place in the Ray cluster; see what it is busy with: ray status")
            answered: R | Failure = ray.get(asked)
        if isinstance(answered, Failure):
            raise answered.error
        return answered

    def run(
        self,
        crew: Crew,
        items: Iterable[Any],
        worker: type,
        told: Any,
        *,
        batch_size: int,
        search: Callable[..., Any] | None = None,
    ) -> Generator[Any, None, None]:
        """Yield what the crew's workers make of `items`, as soon as it comes, in any order.

        Args:
            worker: a class of cluster.workers, made with `told` in each actor.
            batch_size: how many items a worker gets at once.
            search: turns each item into those that the workers get, while they are at work already.

        Raises:
            SgtError: what a worker raises.
        """
        from ray.data import ActorPoolStrategy, DataContext, from_items

        # Bytes. Where a batch is an hour's work, what a worker yields is to come at once, not gathered; where there are
        # many batches, each thing that comes by itself costs 50 ms here.
        DataContext.get_current().target_max_block_size = 1 if search is not None else 2**27
        packed = [{"item": item} for item in pack(items)["item"]]
        data = from_items(packed, override_num_blocks=-(-len(packed) // batch_size))
        if search is not None:
            # No CPU of its own: otherwise Ray would fuse it with the workers, and one of them do everything.
            data = data.map_batches(search, batch_size=1, num_cpus=0)
        # From one worker up: the places of machines that were lost do not hold up the end.
        pool = ActorPoolStrategy(
            min_size=1, max_size=crew.count, initial_size=crew.count, max_tasks_in_flight_per_actor=1 if search else 2
        )
        data = data.map_batches(
            worker,
            fn_constructor_args=(told,),
            batch_size=batch_size,
            compute=pool,
            num_cpus=0 if crew.gpus else 1,
            num_gpus=crew.gpus,
        )
        said = set()
        with _ray_errors():
            for row in data.iter_batches(batch_size=None, prefetch_batches=0):
                for item in unpack(row):
                    if isinstance(item, Failure):
                        raise item.error
                    if not isinstance(item, Said):
                        yield item
                    elif item.line not in said:
                        said.add(item.line)
                        self._say(item.line)


def check_address(address: str) -> None:
    """Refuse, before any other work, what Ray itself would find out late or look for, for minutes.

    Args:
        address: auto (the cluster of this machine), HOST:PORT, or local (this machine alone).

    Raises:
        UsageError: it is no such address.
        MissingError: Ray is not installed, or nothing answers at HOST:PORT.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingError(
            "--ray lacks what the extra [ray] installs",
            hint="Install it: pip install 'stylegan-tool[ray]'   (in a checkout: pip install '.[ray]')",
        )
    if address in ("auto", _LOCAL):
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UsageError(
            f"--ray {address} is neither auto, local nor HOST:PORT",
            hint="Type --ray HOST:6379, as `ray start --head` prints it, on a machine of the cluster.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise _no_cluster(address, str(error)) from error


@contextmanager
def connect(address: str, say: Callable[[str], None]) -> Iterator[Cluster]:
    """Connect to the cluster at `address`, which `check_address` has let pass.

    Raises:
        MissingError: no cluster answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with contextlib.redirect_stdout(io.StringIO()):  # where Ray tells of workers that died
        with _stderr_kept_off():
            _start(address)
        import ray

        try:
            yield Cluster([node["Resources"] for node in ray.nodes() if node["Alive"]], say)
        finally:
            with _stderr_kept_off():
                ray.shutdown()


def _no_cluster(address: str, reason: str) -> MissingError:
    return MissingError(
        f"no Ray cluster at {address}: {reason}",
        hint="Start one (`ray start --head`; docs/several_machines.md), or take this machine alone: --ray local",
    )


def _start(address: str) -> None:
    import ray
    import ray.data

    _keep_quiet()
    new = {"include_dashboard": False} if address == _LOCAL else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **new)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _no_cluster(address, first_line(error)) from error


def _keep_quiet() -> None:
    from ray.data import DataContext

    logging.getLogger("ray.data").handlers.clear()
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


@contextmanager
def _stderr_kept_off() -> Iterator[None]:
    """Let nothing through that Ray's C++ says at its beginning and end: it writes to the descriptor itself."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def _ray_errors() -> Iterator[None]:
    """Turn what Ray raises into ours; a bug in a worker keeps its traceback."""
    from ray.exceptions import RayError, RayTaskError

    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, ImportError):
            raise MissingError(
                f"a machine of the Ray cluster lacks this tool: {error.cause}",
                hint="Install the same on each machine, where its Ray is: pip install 'stylegan-tool[ray]'",
            ) from error
        raise
    except RayError as error:
        raise ComputeError(
            f"the Ray cluster failed: {first_line(error)}",
            hint="`ray status` shows what is left of it. The same command goes on where this one stopped.",
        ) from error
