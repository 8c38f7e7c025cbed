"""Opens a model, and chooses what runs it and where.

Batches: float32 (N,3,H,W) in [-1,1]; see pixels.py.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from stylegan_tool.adapt import adapt, adapt_encoder, info_of, read_graph
from stylegan_tool.errors import ComputeError, MemoryShortError, MissingError, ModelError, first_line
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.interface import Stated, constant_value, fit_value
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.operators import ValueInfo
from stylegan_tool.ort_engine import (
    BoundEngine,
    OrtEngine,
    ProviderChoice,
    choose_provider,
    open_graph,
    part_options,
    provider_list,
    session_options,
)
from stylegan_tool.pixel_graph import add_pixels
from stylegan_tool.pixels import Batch, Image, to_batch, to_image
from stylegan_tool.providers import (
    LABELS,
    NVIDIA,
    OPENVINO,
    PROVIDERS,
    Chain,
    gpu_memory_bytes,
)


class Engine(Protocol):
    """What runs a graph: ONNX Runtime or OpenVINO.

    Attributes:
        inputs, outputs: names in the graph.
    """

    inputs: list[str]
    outputs: list[str]

    def run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs, in order."""


def _open_openvino(model: Path | bytes, name: str, *, precise: bool = False) -> Engine:
    from stylegan_tool.openvino_engine import OpenVinoEngine

    try:
        return OpenVinoEngine(model, precise=precise)
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO cannot open {name}: {first_line(error)}",
            hint="Leave --provider openvino out: ONNX Runtime may know its operators.",
        ) from error


class Session:
    """A model, opened on a provider.

    Attributes:
        info: what the model says of itself, completed by its graph where it is somebody else's.
        source: what was opened: the file, or its graph adapted to take pictures as ours do.
        reading: how somebody else's model takes pictures, for people; else empty.
        provider: the key of PROVIDERS that really loaded.
        device_id: the GPU's number, from 0.
        note: a line to say if that is not what was asked for; else empty.
    """

    def __init__(
        self,
        path: Path,
        *,
        provider: str = "auto",
        device_id: int | None = None,
        require_gpu: bool = False,
        inputs: Mapping[str, str] | None = None,
        stated: Stated | None = None,
    ) -> None:
        """Open `path`.

        Args:
            device_id: of several GPUs the one to run on; by default the first.
            inputs: values of inputs beside the picture; name -> numbers, one-hot:N, FILE.npy or MODEL.onnx:PICTURE.
            stated: how somebody else's model takes pictures, as far as it is known; by default what the file says.

        Raises:
            ModelError: it is no model, or how it takes pictures cannot be found out (see adapt.py).
            MissingError: `require_gpu`, and it would run on the CPU; or there is no GPU of that number.
            UsageError: `device_id` for a provider that has none.
        """
        if require_gpu and provider == OPENVINO:
            raise _no_gpu("--provider openvino runs on the CPU")
        no_choice = provider == OPENVINO and device_id is None
        choice = ProviderChoice(OPENVINO) if no_choice else choose_provider(provider, device_id)
        self.note = choice.note
        if require_gpu and choice.name == "cpu":
            raise _no_gpu(choice.note or "no GPU was found")
        self.path = path
        adapted = adapt(path, inputs or {}, input_value, stated)
        self.info, self.source = adapted.info, adapted.source
        self.reading = adapted.interface.describe() if adapted.interface is not None else ""
        self.provider, self.device_id = choice.name, device_id or 0
        # One entrance is opened now, to find out where it really runs; the other one when it is used.
        _ = (self._pixel_engine if self.on_gpu else None) or self._float_engine
        if require_gpu and not self.on_gpu:
            raise _no_gpu(self.note)

    @functools.cached_property
    def _float_engine(self) -> Engine:
        """Takes and gives batches."""
        return self._open(self.source)

    @functools.cached_property
    def _pixel_engine(self) -> Engine | None:
        """Takes and gives 8-bit pictures; None where batches are converted outside: by OpenVINO, in bfloat16."""
        if self.provider == OPENVINO:
            return None
        graph = add_pixels(self.source)
        return self._open(graph) if graph is not None else None

    def _open(self, source: Path | bytes) -> Engine:
        """Open the model, and note where it really runs."""
        if self.provider == OPENVINO:
            return _open_openvino(source, str(self.path))
        wanted = self.provider
        session = open_graph(source, session_options(), self._chain(source), name=str(self.path))
        loaded = session.get_providers()
        self.provider = next(name for name, full in PROVIDERS.items() if full == loaded[0])
        if self.provider != wanted:
            there = LABELS[self.provider] if self.on_gpu else "the CPU"
            self.note = f"{LABELS[wanted]} did not load (see `sgt doctor`); running on {there}"
        return BoundEngine(session, ("cuda", self.device_id) if self.provider in NVIDIA else ("cpu", 0))

    def _chain(self, model: Path | bytes) -> Chain:
        return provider_list(self.provider, model, device_id=self.device_id, half=self.info.precision == "fp16")

    @property
    def label(self) -> str:
        """The provider's name for people: 'CPU', 'CUDA', 'CPU by OpenVINO'."""
        return "CPU by OpenVINO" if self.provider == OPENVINO else LABELS[self.provider]

    @property
    def on_gpu(self) -> bool:
        """Whether it runs elsewhere than on the CPU."""
        return self.provider not in ("cpu", OPENVINO)

    @functools.cached_property
    def device_bytes(self) -> int:
        """The memory of the GPU that it runs on; 0 where there is none, or nobody knows."""
        return gpu_memory_bytes(self.device_id) if self.provider in NVIDIA else 0

    def run(self, batch: Batch) -> Batch:
        """Return the model's output for `batch`; its sides are as the model makes them.

        Raises:
            ComputeError: out of memory, or the provider failed.
        """
        result: Batch = self._run(self._float_engine, batch, *batch.shape[2:])[0]
        return result

    def run_pixels(self, images: Sequence[Image]) -> list[Image]:
        """Return what the model makes of pictures of one size and type, together; sides are as the model makes them.

        8 bits go in and come out as they are and are converted in the graph, where that can be; 16 bits go as floats.

        Raises:
            ComputeError: out of memory, the provider failed, or a result is not a number.
            ModelError: what is made are no pictures, one for each.
        """
        height, width = images[0].shape[:2]
        if images[0].dtype != np.uint8 or self._pixel_engine is None:
            batch = np.concatenate([to_batch(image) for image in images])
            made = self.run(batch)
            self.check(made, batch.shape)
            return [to_image(one[None], images[0].dtype) for one in made]
        painted, sums = self._run(self._pixel_engine, np.stack(images), height, width)
        n, made_height, made_width, channels = painted.shape
        self._check_size((n, channels, made_height, made_width), (len(images), 3, height, width))
        self.check_numbers(sums, height, width)
        return list(painted)

    def check(self, made: Batch, taken: tuple[int, ...]) -> None:
        """Raise what `run_pixels` does for a batch made of one of shape `taken`."""
        self._check_size(made.shape, taken)
        self.check_numbers(made, *taken[2:])

    def _check_size(self, made: tuple[int, ...], taken: tuple[int, ...]) -> None:
        # A network may round sizes up; what is larger than that is another picture.
        room = max(8, self.info.size_multiple)
        same = len(made) == 4 and made[:2] == taken[:2]
        if not same or not all(0 <= new - old < room for new, old in zip(made[2:], taken[2:], strict=True)):
            raise ModelError(
                f"{self.path} makes {made} out of {taken}: not a picture of the same size",
                hint="Name another model with --model.",
            )

    def check_numbers(self, made: NDArray[np.float32], height: int, width: int) -> None:
        """Raise ComputeError if a value, made of a picture of that size, is not a finite number."""
        if not np.isfinite(made).all():
            raise ComputeError(
                f"{self.path.name} made values of {width}x{height} pixels that are no finite numbers (NaN)",
                hint="Try --provider cpu, or the model in fp32; if it stays, export the model again.",
            )

    def _run(self, engine: Engine, value: NDArray[Any], height: int, width: int) -> list[NDArray[Any]]:
        failed = f"{self.path.name} failed on {width}x{height} pixels"
        return _run(engine, {engine.inputs[0]: value}, failed)

    def open_part(
        self, model: bytes, *, threads: int | None = None, share_memory: bool = False, precise: bool = False
    ) -> "Part":
        """Open a piece of this model's graph on the provider that this session runs on.

        Args:
            threads: for the CPU: how many it uses by itself; by default all.
            share_memory: keep its working memory for all parts opened so, to the end of the program.
            precise: compute in float32 where the engine would rather take less: a dark picture's few steps near -1 are
                lost in bfloat16, and the first normalisation would blow up what is left.
        """
        name = f"a stage of {self.path.name}"
        if self.provider == OPENVINO:
            return Part(_open_openvino(model, name, precise=precise), self.path.name)
        options = part_options(threads, share_memory=share_memory)
        return Part(OrtEngine(open_graph(model, options, self._chain(model), name=name)), self.path.name)


class Part:
    """A piece of a model's graph; may be run from several threads at once."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    def run(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs by name.

        Raises:
            MemoryShortError: memory ran out.
            ComputeError: the provider failed.
        """
        made = _run(self._engine, inputs, f"{self._name} failed on a tile")
        return dict(zip(self._engine.outputs, made, strict=True))


# How ONNX Runtime's allocators, CUDA and the C++ library say that memory ran out.
_SHORT = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation", "available memory of", "alloc_failed")


def _run(engine: Engine, inputs: dict[str, NDArray[Any]], failed: str) -> list[NDArray[Any]]:
    try:
        return engine.run(inputs)
    except Exception as error:  # as in open_graph
        if isinstance(error, MemoryError) or any(text in str(error).lower() for text in _SHORT):
            raise MemoryShortError(
                f"{failed}: out of memory", hint="Close other programs, or use smaller tiles: --tile 256"
            ) from error
        raise ComputeError(
            f"{failed}: {first_line(error)}", hint="If memory ran out, use smaller tiles: --tile 512"
        ) from error


def _no_gpu(reason: str) -> MissingError:
    return MissingError(
        f"--require-gpu: {reason.removesuffix('; running on the CPU')}",
        hint="`sgt doctor` says what is missing; leave --require-gpu out to run on the CPU.",
    )


def input_value(text: str, one: ValueInfo, takes: str) -> NDArray[Any]:
    """Return what --input NAME=`text` means for the input `one`: see `constant_value`, or MODEL.onnx:PICTURE.

    The last is for styles by example: what that model makes of the picture becomes the value.

    Args:
        takes: the range of pictures, where the graph of MODEL.onnx does not show it.

    Raises:
        ModelError: it does not fit, or MODEL.onnx makes something of another size.
        InputError: the picture cannot be read.
    """
    model, _, picture = text.partition(".onnx:")
    if not picture:
        return constant_value(text, one)
    path = Path(f"{model}.onnx")
    graph, interface = adapt_encoder(path, takes)
    session = open_graph(graph, session_options(), provider_list("cpu", graph), name=str(path))
    image = read_picture(Path(picture)).image
    size = (interface.width or image.shape[1], interface.height or image.shape[0])
    batch = to_batch(cast("Image", cv2.resize(image, size, interpolation=cv2.INTER_AREA)))
    engine = OrtEngine(session)
    made = _run(engine, {engine.inputs[0]: batch}, f"{path} failed on {picture}")[0]
    return fit_value(made, one, text)


def read_model_info(path: Path) -> ModelInfo:
    """Read what the model at `path` says of itself, without preparing to run it.

    Raises:
        ModelError: it is no model.
    """
    return info_of(read_graph(path), path)


def cpu_threads() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
