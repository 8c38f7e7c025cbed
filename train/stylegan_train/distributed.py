"""Several processes that train one run, each on its part of every batch: gradients, histories and stops in common.

All processes hold the same networks, optimisers, histories and random generators, and draw alike for the whole batch:
only what they read and compute differs. So a step is that of one process (but for the order of sums), the training
state is no other, and a run may be gone on with by any number of them.

One all-reduce of the flattened gradients after each backward, not DistributedDataParallel (nor Fabric or accelerate,
which wrap it): its hooks belong to one forward and one backward of one module, while a step here passes each generator
several times, has the discriminators frozen in between, and has two optimisers. What is lost is the overlap of sending
with computing.

Launchers give each process torch's variables: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
"""

import contextlib
import io
import logging
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from stylegan_tool.errors import ComputeError, SgtError, UsageError
from stylegan_train.loop import Loop
from stylegan_train.stop import Stopped
from stylegan_train.team import Alone

T = TypeVar("T")

PATIENCE = timedelta(minutes=30)  # the others wait while the first looks at every picture
# Launchers end all processes of a machine as soon as one has failed, and report that one. So whoever only notices that
# another is gone waits to be ended, and of those that fail alike the machine's first speaks.
FOLLOWER_GRACE_S = 5.0
LOST_GRACE_S = 15.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LostError(ComputeError):
    """Another process of the run is gone."""


class Team(Alone):
    """The processes of a run, joined."""

    def __init__(self, rank: int, size: int, local_rank: int) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = local_rank

    def gather(self, part: Tensor) -> Tensor:
        """See `Alone.gather`."""
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.size)]
        with _exchange():
            dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def average(self, values: Tensor) -> Tensor:
        """See `Alone.average`."""
        return self._average_in_place(values.clone())

    def _average_in_place(self, values: Tensor) -> Tensor:
        with _exchange():
            dist.all_reduce(values)
        return values.div_(self.size)

    def average_gradients(self, params: Iterable[Tensor]) -> None:
        """See `Alone.average_gradients`: one exchange for all, since each costs its time on the way."""
        gradients = [param.grad for param in params if param.grad is not None]
        mean = self._average_in_place(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def share(self, make: Callable[[], T]) -> T:
        """See `Alone.share`; the value is pickled, tensors are passed on in main memory."""
        packed: list[bytes | None] = [_pack(make()) if self.leads else None]
        with _exchange():
            dist.broadcast_object_list(packed, src=0)
        value: T = torch.load(io.BytesIO(packed[0] or b""), map_location="cpu", weights_only=False)
        return value

    def any(self, answer: bool) -> bool:
        """See `Alone.any`."""
        return self._average_in_place(torch.tensor(float(answer))).item() > 0


def _pack(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, pickle_module=pickle)
    return file.getvalue()


@contextmanager
def _exchange() -> Iterator[None]:
    """What torch raises where another process is gone, as an error of ours."""
    try:
        yield
    except RuntimeError as error:
        raise LostError(
            f"another process of the run is gone ({str(error).partition(chr(10))[0]})",
            hint="Why is said above, or on its own machine. What was saved last is kept: type the same with --resume",
        ) from error


@contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that the launcher has started.

    Raises:
        UsageError: more processes than GPUs on this machine, or a launcher that does not say who this is.
        LostError: the others cannot be reached.
    """
    try:
        rank, size, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"WORLD_SIZE says that this is one of several processes, but {error} is missing or no number",
            hint="Start them with torchrun or with `sgt train --devices N`; for one process alone: unset WORLD_SIZE",
        ) from error
    team = Team(rank, size, local_rank)
    try:
        _connect(team)
        yield team
    except KeyboardInterrupt as stop:
        if isinstance(stop, Stopped):
            _leave()
        # Launchers tell how a run ended: they see that a signal ended this process, which says nothing itself.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        raise
    except SgtError as error:
        lost_s = LOST_GRACE_S if isinstance(error, LostError) else 0.0
        time.sleep(lost_s + (FOLLOWER_GRACE_S if team.local_rank else 0.0))
        raise
    _leave()


def _leave() -> None:
    with _exchange():
        dist.barrier()  # whoever ends first would take gloo away from under the others
    dist.destroy_process_group()


def _connect(team: Team) -> None:
    per_machine = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        check_gpus(per_machine)
        torch.cuda.set_device(team.local_rank)
    elif "OMP_NUM_THREADS" not in os.environ:  # each would take all the cores
        torch.set_num_threads(max(1, torch.get_num_threads() // per_machine))
    with _exchange():
        # Plain values and Ctrl-C go by gloo, which waits without holding the GPU.
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)


def check_gpus(n_processes: int) -> None:
    """Refuse more processes than this machine has GPUs; without any they train on the CPU.

    Raises:
        UsageError: there are fewer.
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else n_processes
    if n_processes > n_gpus:
        raise UsageError(
            f"{n_processes} processes need as many GPUs, but this machine has {n_gpus}",
            hint=f"Start as many as there are: --devices {n_gpus}, or for torchrun --nproc-per-node {n_gpus}",
        )


class Follower(Loop):
    """The loop of a process that does not lead: it trains along and writes nothing (see `UnwrittenRun`, too)."""

    def save(self) -> None:
        """Leave it to the one that leads, whose state is the same."""

    def _save_state(self) -> None:
        pass

    def write_samples(self) -> None:
        """Leave it to the one that leads."""

    def is_validated(self) -> bool:
        """Never validate; while the one that leads does, the others wait in their next exchange."""
        return True

    def _write_stats(self) -> None:
        self.means.clear()

    def _draw_curves(self) -> None:
        pass


def share_state(loop: Loop) -> None:
    """Give every process the state of the one that leads, which may alone have read files."""

    def read() -> dict[str, Any]:
        return {"trainer": loop.trainer.state(), "epoch": loop.epoch, "step": loop.step}

    state = loop.team.share(read)
    if not loop.team.leads:
        loop.trainer.load_state(state["trainer"])
        loop.epoch, loop.step = state["epoch"], state["step"]


# --- sgt train --devices N ------------------------------------------------------------------------


def launch(n_processes: int, work: Callable[..., int], *args: object) -> None:
    """Start `n_processes` on this machine that each call work(*args), and return when all have ended well.

    The first Ctrl-C and the second are passed on (see `stop.py`), a third ends the processes where they are; so does
    SIGTERM, as it would end a run of one.

    Raises:
        UsageError: this machine has fewer GPUs than that.
        SystemExit: one has failed, and has said why; its exit code.
        ComputeError: one was killed.
        KeyboardInterrupt: Ctrl-C, when all have stopped.
    """
    check_gpus(n_processes)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it tells of every process that it ends
    interrupts = 0

    def pass_on(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        for pid in processes.pids():
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, number if interrupts <= 2 else signal.SIGTERM)
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    # What comes while the processes start waits until they are there, and in each until `_start` takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        # Held here, where they meet has its port from the first moment: one that is looked up first may be taken.
        meeting = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined] # documented
        processes = start_processes(_start, (n_processes, meeting.port, work, args), nprocs=n_processes, join=False)
        for number in SIGNALS:
            if before[number] != signal.SIG_IGN:  # `nohup`, and `&` in a script, have Ctrl-C ignored
                signal.signal(number, pass_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        while not processes.join():
            pass
    except ProcessExitedException as error:
        if error.exit_code > 0:
            raise SystemExit(error.exit_code) from error
        if interrupts or error.exit_code == -signal.SIGINT:
            raise KeyboardInterrupt from error
        raise ComputeError(
            f"process {error.error_index} of {n_processes} was killed ({error.signal_name})",
            hint="SIGKILL is mostly the system's, for want of memory: use a smaller --batch-size or fewer --devices.",
        ) from error
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _start(rank: int, size: int, port: int, work: Callable[..., int], args: tuple[object, ...]) -> None:
    os.setsid()  # a terminal's Ctrl-C reaches the launcher alone, which passes it on once
    os.environ |= {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        # As torchrun says that the launcher holds the store, and that this is its first try.
        **{"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"},
    }
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # outside of training it ends a process without a word
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    sys.exit(work(*args))
