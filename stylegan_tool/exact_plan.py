"""Plan how a cut model runs over a picture: which tiles, what is stored between its stages, and where each tile lies.

Tiles are squares of `side` pixels of the picture, halo included, all of one shape. What lives between two stages is
one stage's activations (with the skip connections still needed). Which of them are stored and which are computed again
from the picture is planned beforehand, from what fits the memory. No model is run here, and no array made.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from stylegan_tool.errors import MemoryShortError, UsageError
from stylegan_tool.normstats import CutModel, Stage
from stylegan_tool.reach import Axis, UnknownReachError
from stylegan_tool.tiling import Span, plan_axis, round_up, smallest_tile

Place: TypeAlias = tuple[slice, slice]

# Tried from the left. Smaller tiles stay in the processor's cache, larger ones waste less on halos.
SIDES = (384, 768, 1536, 256, 192, 128, 96, 64)
GOOD_ENOUGH = 1.2  # times the least work of all sides
# No plan that computes more than this many times what the plain model does: scratch files, or one tile, are faster.
MOST_WORK = 3


@dataclass(frozen=True)
class Tile:
    """Where one tile of a pass lies, tensor by tensor.

    Attributes:
        start, keep_stop: rows of the picture: the first that it reads, and where what it contributes ends.
        taken: of what it starts from, the piece that it reads.
        shape: (h,w) of what it makes, before it is trimmed.
        kept: of what it makes, the piece that it contributes.
        place: that piece in the whole tensor.
    """

    start: int
    keep_stop: int
    taken: Mapping[str, Place]
    shape: Mapping[str, tuple[int, int]]
    kept: Mapping[str, Place]
    place: Mapping[str, Place]


@dataclass(frozen=True)
class Pass:
    """One stage over the tiles.

    Attributes:
        replaces: a stored tensor -> the one whose place in memory it takes, since nobody reads that afterwards.
    """

    stage: Stage
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    replaces: Mapping[str, str]

    @property
    def n_tiles(self) -> int:
        """How many tiles it has."""
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True)
class Plan:
    """How a picture of height x width will be computed.

    Attributes:
        side: of the tiles, halo included; pixels.
        workers: tiles that run at a time.
        stored_bytes: activations between stages, at their peak.
        waiting_bytes: of tiles that wait to take another tensor's place, at their peak.
        tile_bytes: one tile's, at their peak.
        on_disk: whether the stored activations go to scratch files.
        work: multiplications against the plain model's, halos and what is computed again included.
    """

    height: int
    width: int
    side: int
    workers: int
    passes: tuple[Pass, ...] = field(repr=False)
    stored_bytes: int
    waiting_bytes: int
    tile_bytes: int
    on_disk: bool
    work: float

    @property
    def n_tiles(self) -> int:
        """Tiles of one pass (the one with most)."""
        return max(one.n_tiles for one in self.passes)

    @property
    def memory_bytes(self) -> int:
        """Peak memory: activations (unless on disk) and the tiles that run at a time."""
        return (0 if self.on_disk else self.stored_bytes) + self.waiting_bytes + self.workers * self.tile_bytes


class Planner:
    """Plans for one cut model.

    Args:
        name: of the model, for messages.
        most_workers: tiles that may run at a time.
    """

    def __init__(self, cut: CutModel, name: str, most_workers: int) -> None:
        self.cut, self._name, self._most_workers = cut, name, most_workers
        self._traced: tuple[tuple[int, int], dict[str, tuple[Axis, Axis]]] | None = None
        self._placed_for: Plan | None = None
        self._placed: dict[int, list[Tile]] = {}  # by the stage's level

    def plan(self, height: int, width: int, *, memory_bytes: int, side: int | None = None) -> Plan:
        """Choose tiles and what is stored, for the least work that fits `memory_bytes`.

        Where activations do not fit beside the tiles, they go to scratch files.

        Args:
            side: of the tiles; by default chosen.

        Raises:
            UsageError: `side` is too small for the model.
            MemoryShortError: the model looks too far for tiles that fit.
        """
        if side is not None:
            return self._plan_for(height, width, side, memory_bytes)
        plans = []
        for tried in SIDES:
            with suppress(UsageError):
                plans.append(self._plan_for(height, width, tried, memory_bytes))
        plans = [plan for plan in plans if plan.memory_bytes <= memory_bytes and plan.work <= MOST_WORK]
        if plans:
            return _first_good([plan for plan in plans if not plan.on_disk] or plans)
        whole = self.untiled(height, width)
        if whole.memory_bytes <= memory_bytes:
            return whole
        raise MemoryShortError(
            f"{self._name} cannot be cut into tiles that fit {memory_bytes / 2**20:.1f} MB",
            hint=f"Allow more: --memory {math.ceil(whole.memory_bytes / 2**30)}G, or choose tiles: "
            f"--tile {max(SIDES[0], 2 * self.least_side)}",
        )

    def _plan_for(self, height: int, width: int, side: int, memory_bytes: int) -> Plan:
        """Return the best plan with tiles of `side`: in memory if any fits, with fewer workers if it must be."""
        most = self._most_workers
        for workers in dict.fromkeys((most, -(-most // 2), 1)):
            for plan in self._plans(height, width, side, workers):
                if plan.memory_bytes <= memory_bytes:
                    return plan
                smallest = plan
            if smallest.workers * smallest.tile_bytes <= memory_bytes // 2:
                break
        return replace(smallest, on_disk=True)

    @property
    def least_side(self) -> int:
        """The smallest tile that each stage can be run with, if everything is stored; pixels."""
        stages = self.cut.stages(self.cut.cuts)
        return max(smallest_tile(self.cut.halo(stage), 0, self.cut.alignment(stage)) for stage in stages)

    def untiled(self, height: int, width: int) -> Plan:
        """Return the plan of one tile that keeps everything: the truth that tiles are held to."""
        return next(self._plans(height, width, max(height, width), 1))

    def one_pass(self, height: int, width: int, side: int, *, memory_bytes: int) -> Plan:
        """Return the plan that computes everything from the picture in one pass; its statistics come from elsewhere.

        Raises:
            UsageError: `side` is too small for how far the whole model looks.
        """
        stage = self.cut.stages(())[-1]
        only = Pass(stage, self._spans(stage, height, side), self._spans(stage, width, side), {})
        tile_bytes = int(self.cut.working_bytes(stage) * side**2)
        workers = max(1, min(only.n_tiles, self._most_workers, memory_bytes // tile_bytes))
        area = _length(only.rows) * _length(only.columns)
        return Plan(
            height,
            width,
            side,
            workers,
            (only,),
            stored_bytes=0,
            waiting_bytes=0,
            tile_bytes=tile_bytes,
            on_disk=False,
            work=area / (height * width),
        )

    def _plans(self, height: int, width: int, side: int, workers: int) -> Iterator[Plan]:
        """Yield plans, each storing less than the one before: first everything that a later stage reads."""
        stored = list(self.cut.cuts)
        lowest, in_vain = math.inf, 0
        while in_vain < 4:
            try:
                plan, peak = self._lay_out(height, width, side, workers, stored)
            except UsageError:
                if lowest < math.inf:
                    return  # what computes so much again looks too far for these tiles
                raise
            in_vain += 1
            if plan.stored_bytes < lowest:
                lowest, in_vain = plan.stored_bytes, 0
                yield plan
            # The largest of what is alive at the peak is what is best computed again.
            largest = max(peak, key=lambda name: self.sizes(name, height, width)[1], default=None)
            if largest is None or plan.work > MOST_WORK:
                return
            stored.remove(largest)

    def sizes(self, name: str, height: int, width: int) -> tuple[tuple[int, int, int], int]:
        """Return shape (C,H,W) and bytes of a tensor of the whole picture."""
        y, x = self._whole(height, width)[name]
        shape = (self.cut.channels[name], y.total, x.total)
        return shape, math.prod(shape) * self.cut.bytes_per_value(name)

    def _whole(self, height: int, width: int) -> Mapping[str, tuple[Axis, Axis]]:
        if self._traced is None or self._traced[0] != (height, width):
            picture = {self.cut.image: (Axis.of_window(0, height, height), Axis.of_window(0, width, width))}
            self._traced = (height, width), self.cut.trace(self.cut.nodes, picture)
        return self._traced[1]

    def _lay_out(
        self, height: int, width: int, side: int, workers: int, stored: Sequence[str]
    ) -> tuple[Plan, list[str]]:
        """Return the plan that stores these tensors, and which of them are alive at its peak."""
        stages = self.cut.stages(stored)
        last_read = {name: i for i, stage in enumerate(stages) for name in stage.taken}
        passes, alive, peak, peak_bytes, waiting, work = [], set[str](), list[str](), 0, 0.0, 0.0
        for i, stage in enumerate(stages):
            rows, columns = self._spans(stage, height, side), self._spans(stage, width, side)
            replaces = self._takeovers(stage, height, width, {n for n in stage.taken if last_read[n] == i})
            alive |= set(stage.stored)
            live_bytes = sum(self.sizes(name, height, width)[1] for name in alive - set(replaces.values()))
            # What takes another tensor's place waits outside until two bands of tiles are done with that.
            share = min(1.0, 2 * (rows[0].stop - rows[0].start) / height) if len(rows) * len(columns) > 1 else 0.0
            waiting = max(waiting, share * sum(self.sizes(name, height, width)[1] for name in replaces))
            if live_bytes > peak_bytes:
                peak_bytes, peak = live_bytes, sorted(alive - {self.cut.image})
            alive -= {name for name in alive if last_read.get(name, 0) <= i}
            area = _length(rows) * _length(columns)
            work += self.cut.multiplications(stage) * area / (height * width)
            passes.append(Pass(stage, rows, columns, replaces))
        tile_area = max((one.rows[0].stop - one.rows[0].start) * (one.columns[0].stop) for one in passes)
        tile_bytes = max(self.cut.working_bytes(stage) for stage in stages) * tile_area
        plain = sum(self.cut.multiplications(stage) for stage in self.cut.stages(self.cut.cuts))
        plan = Plan(
            height,
            width,
            side,
            min(workers, max(one.n_tiles for one in passes)),
            tuple(passes),
            stored_bytes=peak_bytes,
            waiting_bytes=int(waiting),
            tile_bytes=int(tile_bytes),
            on_disk=False,
            work=work / plain,
        )
        return plan, [name for name in peak if name in stored]

    def _takeovers(self, stage: Stage, height: int, width: int, dying: set[str]) -> dict[str, str]:
        free = sorted(dying - {self.cut.image})
        replaces = {}
        for name in stage.stored:
            key = (self.sizes(name, height, width)[0], self.cut.dtype(name))
            same = [old for old in free if (self.sizes(old, height, width)[0], self.cut.dtype(old)) == key]
            if same:
                replaces[name] = same[0]
                free.remove(same[0])
        return replaces

    def _spans(self, stage: Stage, length: int, side: int) -> tuple[Span, ...]:
        """Cut one axis for a stage. Where the model takes odd sizes, the last tile ends with the picture."""
        multiple, halo = self.cut.alignment(stage), self.cut.halo(stage)
        if length <= side:
            return (Span(0, length, 0, length),)
        whole = round_up(length, multiple)
        try:
            spans = plan_axis(whole, tile=side, halo=halo, feather=0, multiple=multiple)
        except UsageError as error:
            least = max(self.least_side, smallest_tile(halo, 0, multiple))
            raise UsageError(error.what, hint=f"Use --tile {least} or more, or --tile auto.") from None
        last = spans[-1]
        return (*spans[:-1], Span(last.start, length, last.keep_start, length))

    # Where each tile lies -------------------------------------------------------------------------------

    def tiles(self, one: Pass, plan: Plan) -> list[Tile]:
        """Return the tiles of a pass, band by band; a film's frames share one plan, and are spared the arithmetic."""
        if self._placed_for is not plan:
            self._placed_for, self._placed = plan, {}
        level = one.stage.level
        if level not in self._placed:
            places = [(row, column) for row in one.rows for column in one.columns]
            self._placed[level] = [self._place_tile(one.stage, plan, row, column) for row, column in places]
        return self._placed[level]

    def _place_tile(self, stage: Stage, plan: Plan, row: Span, column: Span) -> Tile:
        """Work out where one tile lies.

        Raises:
            UnknownReachError: it does not hold what it is to contribute: the rules or the graph are wrong.
        """
        whole = self._whole(plan.height, plan.width)

        def grid(name: str, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[Axis, Axis]:
            y, x = whole[name]
            return self._axis(name, *rows, plan.height, y.total), self._axis(name, *columns, plan.width, x.total)

        grids = self.cut.trace(
            stage.nodes,
            {name: grid(name, (row.start, row.stop), (column.start, column.stop)) for name in stage.taken},
        )
        kept: dict[str, Place] = {}
        place: dict[str, Place] = {}
        for name in stage.made:
            wanted = grid(name, (row.keep_start, row.keep_stop), (column.keep_start, column.keep_stop))
            if not all(held.covers(one.start, one.stop) for held, one in zip(grids[name], wanted, strict=True)):
                raise UnknownReachError(f"a tile of {name} does not hold what it should")
            place[name] = _slices(wanted)
            (y, x), (rows, columns) = grids[name], place[name]
            kept[name] = (
                slice(rows.start - y.origin, rows.stop - y.origin),
                slice(columns.start - x.origin, columns.stop - x.origin),
            )
        return Tile(
            row.start,
            row.keep_stop,
            taken={name: _slices(grids[name]) for name in stage.taken},
            shape={name: (grids[name][0].length, grids[name][1].length) for name in stage.made},
            kept=kept,
            place=place,
        )

    def _axis(self, name: str, start: int, stop: int, length: int, total: int) -> Axis:
        """Return the picture's [start, stop) as the tensor holds it; the picture's end is the tensor's."""
        scale = self.cut.scale[name]
        return Axis.of_window(int(start * scale), total if stop == length else int(stop * scale), total)


def _slices(grid: tuple[Axis, Axis]) -> Place:
    y, x = grid
    return slice(y.origin, y.origin + y.length), slice(x.origin, x.origin + x.length)


def _length(spans: Sequence[Span]) -> int:
    """Return how much all tiles of an axis hold together, halos counted each time."""
    return sum(span.stop - span.start for span in spans)


def _first_good(plans: Sequence[Plan]) -> Plan:
    """Return the first that works hardly more than the best."""
    least = min(plan.work for plan in plans)
    return next(plan for plan in plans if plan.work <= GOOD_ENOUGH * least)
