"""Runs a cut model stage after stage, and within a stage tile after tile: tiles that equal the untiled picture.

On the CPU several tiles run at a time, each on one thread, which also spreads the operators that ONNX Runtime does not.
How they are laid out is planned in exact_plan.py.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.errors import MemoryShortError, ModelError
from stylegan_tool.exact_plan import Pass, Place, Plan, Planner, Tile
from stylegan_tool.normstats import CutModel, Statistics, cut_model, vector_names
from stylegan_tool.pixels import Batch
from stylegan_tool.reach import UnknownReachError
from stylegan_tool.scratch import allocate, check_space
from stylegan_tool.session import Part, Session, cpu_threads

Read: TypeAlias = Callable[[slice, slice], Batch]
Write: TypeAlias = Callable[[slice, slice, Batch], None]
Vectors: TypeAlias = dict[str, NDArray[np.float32]]
Arrays: TypeAlias = dict[str, NDArray[Any]]

# Working memory up to here is kept for the next tile and the next picture, to the end of the program.
MOST_KEPT = 2**30


class ExactModel:
    """A session's model, cut into stages, with the `planner` of what `run` takes.

    Raises:
        UnknownReachError: it cannot be cut; the text names the node.
        ModelError: what it makes is not of the picture's size.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.cut: CutModel = cut_model(session.source)
        if self.cut.scale[self.cut.output] != 1 or self.cut.channels[self.cut.output] != 3:
            raise ModelError(
                f"{session.path} does not make an RGB picture of the same size", hint="Name another model with --model."
            )
        self._parts: dict[tuple[tuple[str, ...], int | None, bool], Part] = {}
        self.planner = Planner(self.cut, session.path.name, cpu_threads() if session.provider == "cpu" else 1)

    def run(self, plan: Plan, read: Read, write: Write) -> None:
        """Compute the whole picture.

        Args:
            read: returns (1,3,h,w) of the padded picture at (rows, columns); called from several threads.
            write: takes (1,3,h,w) of the result and its place; called from several threads.

        Raises:
            MemoryShortError, ComputeError: see session.Part.
        """
        if plan.on_disk:
            check_space(plan.stored_bytes)
        self._run_passes(plan.passes, plan, read, write)

    def _run_passes(self, passes: Sequence[Pass], plan: Plan, read: Read, write: Write) -> Vectors:
        """Run these passes of a plan and return what they measured."""
        vectors = Vectors()
        with _arrays() as store, _workers(plan.workers) as pool:
            for one in passes:
                self._prepare(plan, one, store)
                vectors |= self._run_pass(one, plan, read, write, vectors, store, pool)
                self._drop_unread(plan, one, store)
        return vectors

    def run_with_statistics_of(self, small: Plan, read_small: Read, plan: Plan, read: Read, write: Write) -> None:
        """Compute a picture by `Planner.one_pass` with the statistics of a small copy of it: fast, and approximate."""
        self.run_with(self._run_passes(small.passes[:-1], small, read_small, _nowhere), plan, read, write)

    def run_with(self, vectors: Vectors, plan: Plan, read: Read, write: Write) -> Vectors:
        """Compute a picture by `Planner.one_pass` with these means and scales; return those of what it measures."""
        with _arrays() as store, _workers(plan.workers) as pool:
            return self._run_pass(plan.passes[0], plan, read, write, vectors, store, pool)

    def _finish(self, statistics: Mapping[str, Statistics]) -> Vectors:
        vectors: Vectors = {}
        for norm in self.cut.norms.values():
            if norm.taken in statistics:
                measured = statistics[norm.taken]
                mean = measured.mean.astype(np.float32)[:, None, None]
                scale = measured.scale(norm.gain, norm.epsilon)
                vectors |= dict(zip(vector_names(norm), (mean, scale), strict=True))
        return vectors

    def _prepare(self, plan: Plan, one: Pass, store: Arrays) -> None:
        """Make room for what the pass stores."""
        for name in one.stage.stored:
            if name in one.replaces:
                store[name] = store[one.replaces[name]]
            else:
                shape = self.planner.sizes(name, plan.height, plan.width)[0]
                store[name] = allocate(shape, self.cut.dtype(name), on_disk=plan.on_disk)

    def _drop_unread(self, plan: Plan, done: Pass, store: Arrays) -> None:
        later = plan.passes[plan.passes.index(done) + 1 :]
        for name in [name for name in store if not any(name in one.stage.taken for one in later)]:
            del store[name]

    def _part(self, one: Pass, plan: Plan) -> Part:
        stage = one.stage
        share_memory = plan.workers * plan.tile_bytes <= MOST_KEPT
        threads = None if self.session.provider != "cpu" else max(1, cpu_threads() // plan.workers)
        key = ((*stage.taken, "->", *stage.made), threads, share_memory)
        if key not in self._parts:
            model = self.cut.stage_model(stage)
            precise = self.cut.image in stage.taken
            self._parts[key] = self.session.open_part(
                model, threads=threads, share_memory=share_memory, precise=precise
            )
        return self._parts[key]

    def _run_pass(
        self,
        one: Pass,
        plan: Plan,
        read: Read,
        write: Write,
        vectors: Vectors,
        store: Arrays,
        pool: ThreadPoolExecutor | None,
    ) -> Vectors:
        """Run one stage over its tiles and return mean and scale of the normalisations that it measured for."""
        job = _Job(self.cut, one, read, write, vectors, store, self._part(one, plan))
        totals = {name: Statistics(self.cut.channels[name]) for name in one.stage.measured}
        waiting: deque[_Done] = deque()
        tiles = self.planner.tiles(one, plan)
        for i, done in enumerate(_in_order(job.run_tile, tiles, pool, plan.workers)):
            for name, statistics in done.statistics.items():  # in the tiles' order: the same sum on every run
                totals[name].add(statistics)
            if done.held:
                waiting.append(done)
            # What takes another tensor's place is written when no later tile reads that place any more.
            next_row = tiles[i + 1].start if i + 1 < len(tiles) else plan.height
            while waiting and waiting[0].tile.keep_stop <= next_row:
                job.store_tile(waiting.popleft())
        return self._finish(totals)


@dataclass
class _Done:
    """What one tile gave; `held` waits to be stored."""

    tile: Tile
    statistics: dict[str, Statistics]
    held: Arrays


@dataclass(frozen=True)
class _Job:
    """One pass with all that its tiles need."""

    cut: CutModel
    one: Pass
    read: Read
    write: Write
    vectors: Vectors
    store: Arrays
    part: Part

    def run_tile(self, tile: Tile) -> _Done:
        stage = self.one.stage
        inputs = {name: self._gather(name, tile.taken[name]) for name in stage.taken}
        for norm in self.cut.norms_in(stage):
            inputs |= {name: self.vectors[name] for name in vector_names(norm)}
        made = self.part.run(inputs)
        statistics, held = {}, {}
        for name in stage.made:
            if made[name].shape[2:] != tile.shape[name]:
                raise UnknownReachError(f"a tile of {name} is {made[name].shape}, not {tile.shape[name]}")
            kept = made[name][0][:, *tile.kept[name]]
            if name in stage.measured:
                statistics[name] = Statistics.of(kept)
            if name == stage.output:
                self.write(*tile.place[name], kept[None])
            elif name in self.one.replaces:
                held[name] = np.ascontiguousarray(kept)
            elif name in stage.stored:
                self.store[name][:, *tile.place[name]] = kept
        return _Done(tile, statistics, held)

    def store_tile(self, done: _Done) -> None:
        for name, kept in done.held.items():
            self.store[name][:, *done.tile.place[name]] = kept

    def _gather(self, name: str, place: Place) -> NDArray[Any]:
        if name == self.cut.image:
            return self.read(*place)
        return np.ascontiguousarray(self.store[name][None, :, *place])


def _nowhere(rows: slice, columns: slice, batch: Batch) -> None:
    """Take a result that nobody wants."""


@contextmanager
def _arrays() -> Iterator[Arrays]:
    """Give a place for activations, emptied at the end: an error that somebody keeps would keep them alive."""
    store = Arrays()
    try:
        yield store
    except MemoryError as error:
        raise MemoryShortError(
            "out of memory for what lies between two stages of the model",
            hint="Close other programs, or allow less: --memory 2G",
        ) from error
    finally:
        store.clear()


@contextmanager
def _workers(n: int) -> Iterator[ThreadPoolExecutor | None]:
    """Give `n` threads, or None for one; what has not begun when an error comes is not begun."""
    pool = ThreadPoolExecutor(n) if n > 1 else None
    try:
        yield pool
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _in_order(
    run: Callable[[Tile], _Done], tiles: Sequence[Tile], pool: ThreadPoolExecutor | None, workers: int
) -> Iterator[_Done]:
    """Yield the results in the tiles' order, with up to `workers` at work and as many finished ones waiting."""
    if pool is None:
        yield from map(run, tiles)
        return
    pending: deque[Future[_Done]] = deque()
    for tile in tiles:
        pending.append(pool.submit(run, tile))
        if len(pending) >= 2 * workers:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
