"""Choose how a picture is computed: in one run, in exact tiles, by a thumbnail's statistics, or tile by tile.

What decides is the option, the memory, where the model runs, and what its graph allows. A choice changes in one way
only: where memory runs out all the same, tiles become smaller, to the end of the program.

Units: sides in pixels of the padded picture, memory in bytes.
"""

from functools import cached_property

import numpy as np
import psutil

from stylegan_tool.errors import ModelError, UsageError
from stylegan_tool.exact import ExactModel
from stylegan_tool.exact_plan import SIDES, Plan
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.options import TileOption, TileStatistics
from stylegan_tool.pixels import Image
from stylegan_tool.providers import OPENVINO
from stylegan_tool.reach import UnknownReachError
from stylegan_tool.session import Session
from stylegan_tool.tiling import Span, plan_axis, round_up, smallest_tile

OPENVINO_MEMORY = 1.5  # of what a whole picture is estimated to take
LEAST_CONTRAST = 12  # standard deviation, 8-bit steps; below it single pixels are further off than in stages
FEATHER = 32  # pixels over which tiles with statistics of their own blend
LARGEST_LOCAL_TILE, LARGEST_ONE_PASS_TILE = 2048, 768
# Peak memory of a plain run for each pixel and each filter of the first layer, measured with the arena off
# (`make bench`): about four full-resolution feature maps of float32 at once.
BYTES_PER_PIXEL_AND_FILTER = 20


def estimate_bytes(height: int, width: int, info: ModelInfo) -> int:
    """Return about how much memory one plain run over height x width pixels takes."""
    return height * width * info.ngf * BYTES_PER_PIXEL_AND_FILTER


def local_tile(info: ModelInfo, memory_bytes: int) -> int:
    """Return the side of the tiles that fit `memory_bytes` where each has statistics of its own."""
    side = int((memory_bytes / (info.ngf * BYTES_PER_PIXEL_AND_FILTER)) ** 0.5)
    side = min(LARGEST_LOCAL_TILE, side // info.size_multiple * info.size_multiple)
    return max(side, smallest_tile(halo_px(info), FEATHER, info.size_multiple))


def halo_px(info: ModelInfo) -> int:
    """Return the halo: no smaller than the receptive field, and on the size multiple."""
    return round_up(info.receptive_field, info.size_multiple)


def fixed_spans(length: int, side: int) -> tuple[Span, ...]:
    """Cut [0, length), length >= side, into spans for a model of a fixed side: each can be run at that side.

    A quarter of it is halo and an eighth feather: nothing tells how far such a model looks.
    """
    return plan_axis(length, tile=side, halo=side // 4, feather=side // 8, multiple=1)


class TileChoice:
    """How pictures of each size are computed by one model, with one set of options.

    Args:
        asked_bytes: what may be used; None: half of what is free when it is first needed.

    Attributes:
        side: of the tiles; None: chosen.
    """

    def __init__(
        self, session: Session, tile: TileOption, statistics: TileStatistics, asked_bytes: int | None = None
    ) -> None:
        self.session = session
        self.tile = tile
        self.statistics = statistics
        self.asked_bytes = asked_bytes
        self.side = tile.size if tile.mode == "fixed" else None
        self._plans: dict[tuple[int, int], Plan] = {}

    @cached_property
    def memory_bytes(self) -> int:
        # Once: free memory comes and goes, and the frames of a film must not change with it.
        return self.asked_bytes or psutil.virtual_memory().available // 2

    def limit_memory(self, size: int | None) -> int:
        """Use at most `size` bytes from now on (None: half of what is free now), and return how many.

        Tiles depend on it: work that is to go on later as it began has to be given the same number.
        """
        self.asked_bytes = size or psutil.virtual_memory().available // 2
        return self.asked_bytes

    @property
    def plain_bytes(self) -> int:
        """What untiled pictures may take where the model runs."""
        return self.session.device_bytes // 2 or self.memory_bytes

    @cached_property
    def exact(self) -> ExactModel:
        """The model, cut.

        Raises:
            ModelError: it cannot be cut; the text names the node.
        """
        try:
            return ExactModel(self.session)
        except UnknownReachError as error:
            raise ModelError(
                f"{self.session.path} cannot be tiled exactly: {error}",
                hint="Use --tile off where memory allows, or --tile-stats local: tiles then differ in tone.",
            ) from error

    @property
    def is_fixed(self) -> bool:
        return self.session.info.fixed_height > 0 or self.session.info.fixed_width > 0

    def _can_be_cut(self) -> bool:
        try:
            return bool(self.exact)
        except ModelError:
            return False

    def method(self, height: int, width: int) -> str:
        """Return how a picture of that size is computed: exact, thumbnail, local, or plain.

        Exact is also the untiled way on the CPU: its runtime's own InstanceNormalization is up to 0.006 (of 2) away
        from float64 on a letterboxed frame, and off by any amount on a nearly black one.
        """
        if self.is_fixed:
            return "local"
        if self.statistics == "local" and self._exceeds(height, width, self.local_side()):
            return "local"
        if self.statistics == "thumbnail" and self._exceeds(height, width, self._one_pass_side()):
            return "thumbnail"
        if self.side is not None and max(height, width) > self.side:
            return "exact"
        fits = self.tile.mode == "off" or estimate_bytes(height, width, self.session.info) <= self.plain_bytes
        if self.session.on_gpu and fits:
            return "plain"  # a GPU normalises well, and between stages activations would leave it
        if fits and not self._can_be_cut():
            return "plain"
        return "exact"

    def method_of(self, padded: Image) -> str:
        """Return how `padded` is computed; see `method`.

        OpenVINO takes a quarter of the time for a whole picture in one run, and is then as close to float32 as in
        stages. But what it leaves of a flat picture, its normalisation blows up: such ones stay with the stages.
        """
        height, width = padded.shape[:2]
        method = self.method(height, width)
        if method != "exact" or self.session.provider != OPENVINO or self.tile.mode != "auto" or self.side is not None:
            return method
        if estimate_bytes(height, width, self.session.info) * OPENVINO_MEMORY > self.plain_bytes:
            return method
        sample = padded[::8, ::8] // (1 if padded.dtype == np.uint8 else 257)
        return "plain" if sample.std(axis=(0, 1)).max() >= LEAST_CONTRAST else method

    def _exceeds(self, height: int, width: int, side: int) -> bool:
        return self.tile.mode != "off" and max(height, width) > side

    def plan(self, height: int, width: int) -> Plan:
        if (height, width) in self._plans:  # a film's frames share one, and what is worked out for it
            return self._plans[height, width]
        if self.tile.mode == "off":
            self._plans[height, width] = self.exact.planner.untiled(height, width)
        else:
            pictures = 2 * 3 * height * width  # the picture and its result, which no plan can do without
            memory = max(self.memory_bytes - pictures, self.memory_bytes // 4)
            self._plans[height, width] = self.exact.planner.plan(height, width, memory_bytes=memory, side=self.side)
        return self._plans[height, width]

    def _one_pass_side(self) -> int:
        return self.side or max(self.least_side(), LARGEST_ONE_PASS_TILE)

    def one_pass_plan(self, height: int, width: int) -> Plan:
        return self.exact.planner.one_pass(height, width, self._one_pass_side(), memory_bytes=self.memory_bytes)

    def local_side(self) -> int:
        info = self.session.info
        fixed = max(info.fixed_height, info.fixed_width)
        return fixed or self.side or local_tile(info, self.memory_bytes)

    def local_spans(self, height: int, width: int) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        info = self.session.info
        geometry = {"halo": halo_px(info), "feather": FEATHER, "multiple": info.size_multiple}
        try:
            rows, columns = (
                fixed_spans(length, fixed) if fixed else plan_axis(length, tile=self.local_side(), **geometry)
                for length, fixed in ((height, info.fixed_height), (width, info.fixed_width))
            )
        except UsageError as error:
            if not self.is_fixed:
                raise
            what = f"{self.session.path} takes {info.fixed_width or 'any'}x{info.fixed_height or 'any'} pixels"
            raise ModelError(f"{what}, in which {error.what}", hint="Name another model with --model.") from error
        return rows, columns

    def least_side(self) -> int:
        """The smallest tiles that there are for the statistics in use; pixels."""
        if self.statistics == "exact":
            return self.exact.planner.least_side
        return smallest_tile(halo_px(self.session.info), FEATHER, self.session.info.size_multiple)

    def step_down(self, ran_with: int) -> bool:
        """After memory ran out with tiles of `ran_with`: take half of that from now on; False where there are none."""
        if self.is_fixed or self.tile.mode == "off" or not (self._can_be_cut() or self.statistics == "local"):
            return False
        smaller = round_up(min(ran_with // 2, SIDES[0]), self.session.info.size_multiple)
        if smaller < self.least_side():
            return False
        self.side = smaller
        self.memory_bytes //= 2
        self._plans.clear()
        return True
