"""Opens a model and chooses what runs it and where: the only file that imports onnxruntime.

Batches: float32 (N,3,H,W) in [-1,1]; see pixels.py.
"""

import contextlib
import functools
import io
import json
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from stylegan_tool.adapt import adapt, adapt_encoder, info_of, read_graph
from stylegan_tool.errors import ComputeError, MemoryShortError, MissingError, ModelError, UsageError, first_line
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.interface import Stated, constant_value, fit_value
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.operators import ValueInfo
from stylegan_tool.pixel_graph import add_pixels
from stylegan_tool.pixels import Batch, Image, to_batch, to_image
from stylegan_tool.providers import (
    AUTOMATIC,
    INSTALL,
    LABELS,
    NUMBERED,
    NVIDIA,
    OPENVINO,
    PROVIDERS,
    Chain,
    gpu_driver_problem,
    gpu_memory_bytes,
    provider_chain,
)

# ONNX Runtime prints red errors about libraries that a machine without a GPU cannot have; we say it in a line.
_FATAL = 4
try:
    import onnxruntime as ort

    ort.set_default_logger_severity(_FATAL)
except (ImportError, AttributeError) as error:  # what is left when one of two wheels has been uninstalled
    raise MissingError(
        f"ONNX Runtime is missing or damaged ({error})",
        hint="Install it again: "
        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install --force-reinstall stylegan-tool",
    ) from error


def provider_problem(name: str, device_id: int = 0) -> str | None:
    """Return why provider `name` cannot be asked for on this machine, or None."""
    if PROVIDERS[name] not in ort.get_available_providers():
        return f"the installed ONNX Runtime has no {LABELS[name]}: {INSTALL[name]}"
    return gpu_driver_problem(device_id) if name in NVIDIA else None


@dataclass(frozen=True)
class ProviderChoice:
    """What to ask ONNX Runtime for, and the line to say where that is less than was hoped for."""

    name: str
    note: str = ""


def choose_provider(wanted: str, device_id: int | None = None) -> ProviderChoice:
    """Return the provider for `wanted` (auto or a key of PROVIDERS); the CPU where it cannot be had.

    Args:
        device_id: of several GPUs the one that is meant, counted from 0.

    Raises:
        UsageError: `wanted` has no numbered devices.
        MissingError: there are GPUs, but none of that number.
    """
    device = device_id or 0
    if device_id is not None:
        if wanted not in ("auto", *NUMBERED):
            raise UsageError(
                f"--device-id {device_id} is a GPU's number, and --provider {wanted} takes none",
                hint="Leave one of the two out, or use --provider cuda.",
            )
        if gpu_driver_problem() is None and (problem := gpu_driver_problem(device)) is not None:
            raise MissingError(f"--device-id {device_id}: {problem}", hint="See which there are: nvidia-smi")
    if wanted != "auto":
        problem = provider_problem(wanted, device)
        if problem is None:
            return ProviderChoice(wanted)
        return ProviderChoice("cpu", f"{LABELS[wanted]} cannot be used here ({problem}); running on the CPU")
    usable = [name for name in AUTOMATIC if provider_problem(name, device) is None]
    if usable:
        return ProviderChoice(usable[0])
    problem = gpu_driver_problem()
    if problem is None:
        why = provider_problem("cuda")
        return ProviderChoice("cpu", f"There is a GPU, but {why}; running on the CPU (see `sgt doctor`)")
    asked = device_id is not None
    return ProviderChoice("cpu", f"--device-id {device_id}: {problem}; running on the CPU" if asked else "")


@functools.cache
def _share_memory() -> None:
    """Make one arena for all parts of all models: what a tile gave back serves the next one.

    Without it each tile's memory comes fresh from the system, page by page, and several threads wait for each
    other there: measured, 1.7 times the time. An arena for each part would hold as many times the memory.
    """
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    # It grows by doubling: grown by what is asked for, it held up to 1.4 times as much in pieces of odd sizes.
    no_limit, doubling, default = 0, 0, -1
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(no_limit, doubling, default, default))


def _part_options(threads: int | None, *, share_memory: bool) -> ort.SessionOptions:
    options = _session_options()
    if threads is not None:
        options.intra_op_num_threads = threads
        # One of several sessions: threads that spin while they wait would keep the others waiting.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if share_memory:
        _share_memory()
        options.enable_cpu_mem_arena = True
        options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def _session_options(*, profile: Path | None = None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    # The arena keeps the memory of the largest shape for good; pictures come in many sizes.
    options.enable_cpu_mem_arena = False
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return options


def _provider_list(name: str, model: Path | bytes, *, device_id: int = 0, half: bool = False) -> Chain:
    if name in NVIDIA:
        # It finds the libraries of pip packages and of torch, and prints each one that it does not find.
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
    content = b""
    if name == "tensorrt":
        # It alone has no option against TF32 (github.com/microsoft/onnxruntime/issues/26029).
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
        content = model.read_bytes() if isinstance(model, Path) else model
    return provider_chain(name, content, device_id=device_id, half=half)


def _create(
    model: Path | bytes, options: ort.SessionOptions, providers: Chain, *, name: str = "the probe"
) -> ort.InferenceSession:
    where = model if isinstance(model, Path) else name
    try:
        if isinstance(model, Path) and not _is_unicode(model):
            model = model.read_bytes()
        return ort.InferenceSession(str(model) if isinstance(model, Path) else model, options, providers=providers)
    except Exception as error:  # ONNX Runtime has a dozen classes, with no common base but this
        raise ModelError(
            f"ONNX Runtime cannot open {where}: {first_line(error)}",
            hint="Download or export it again, or name another: `sgt models list` shows what is here.",
        ) from error


def _is_unicode(path: Path) -> bool:
    """Whether the name can be handed to ONNX Runtime; others are bytes of another encoding."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


class Engine(Protocol):
    """What runs a graph: ONNX Runtime or OpenVINO.

    Attributes:
        inputs, outputs: names in the graph.
    """

    inputs: list[str]
    outputs: list[str]

    def run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs, in order."""


class OrtEngine:
    """A graph in ONNX Runtime; may be run from several threads at once."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.inputs: list[str] = [one.name for one in session.get_inputs()]
        self.outputs: list[str] = [one.name for one in session.get_outputs()]

    def run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs, in order."""
        made: list[NDArray[Any]] = self._session.run(None, inputs)
        return made


class BoundEngine(OrtEngine):
    """A graph whose inputs and outputs are bound to memory of the device, which is kept as long as sizes stay.

    Runs wait for each other.

    Args:
        device: where that memory is, in ONNX Runtime's words: "cuda" and its number, or "cpu" and 0.
    """

    def __init__(self, session: ort.InferenceSession, device: tuple[str, int]) -> None:
        super().__init__(session)
        self._device = device
        self._binding = session.io_binding()
        self._taken: dict[str, ort.OrtValue] = {}
        self._lock = threading.Lock()

    def run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs, in order."""
        with self._lock:
            if not self._is_bound_for(inputs):
                self._bind(inputs)
            for name, value in inputs.items():
                self._taken[name].update_inplace(np.ascontiguousarray(value))
            self.run_bound()
            made = self._binding.get_outputs()
            for name, value in zip(self.outputs, made, strict=True):  # made by the first run of a size, then kept
                self._binding.bind_ortvalue_output(name, value)
            # Copies: on the CPU it would be the memory itself, which the next run writes to.
            return [np.array(value.numpy()) for value in made]

    def run_bound(self) -> None:
        """Run on what is in the device's memory since the last run, and leave the result there: for measuring."""
        self._session.run_with_iobinding(self._binding)

    def _is_bound_for(self, inputs: dict[str, NDArray[Any]]) -> bool:
        kept = {name: tuple(value.shape()) for name, value in self._taken.items()}
        return kept == {name: value.shape for name, value in inputs.items()}

    def _bind(self, inputs: dict[str, NDArray[Any]]) -> None:
        self._taken = {}  # what was kept goes before more is asked for
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        for name in self.outputs:
            self._binding.bind_output(name, *self._device)
        for name, value in inputs.items():
            kept = ort.OrtValue.ortvalue_from_shape_and_type(value.shape, value.dtype.type, *self._device)
            self._binding.bind_ortvalue_input(name, kept)
            self._taken[name] = kept


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
        session = _create(source, _session_options(), self._chain(source), name=str(self.path))
        loaded = session.get_providers()
        self.provider = next(name for name, full in PROVIDERS.items() if full == loaded[0])
        if self.provider != wanted:
            there = LABELS[self.provider] if self.on_gpu else "the CPU"
            self.note = f"{LABELS[wanted]} did not load (see `sgt doctor`); running on {there}"
        return BoundEngine(session, ("cuda", self.device_id) if self.provider in NVIDIA else ("cpu", 0))

    def _chain(self, model: Path | bytes) -> Chain:
        return _provider_list(self.provider, model, device_id=self.device_id, half=self.info.precision == "fp16")

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
        options = _part_options(threads, share_memory=share_memory)
        return Part(OrtEngine(_create(model, options, self._chain(model), name=name)), self.path.name)


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
    except Exception as error:  # as in _create
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
    session = _create(graph, _session_options(), _provider_list("cpu", graph), name=str(path))
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


def runtime_versions() -> dict[str, str]:
    """Return the installed ONNX Runtime distributions and their versions; more than one is a fault."""
    names = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-silicon")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def available_providers() -> list[str]:
    """Return our names of what the installed ONNX Runtime was built with."""
    built = ort.get_available_providers()
    return [name for name, full in PROVIDERS.items() if full in built]


def probe_provider(name: str) -> str:
    """Run one convolution on provider `name` and return where ONNX Runtime's own profile says it ran.

    Returns:
        A name of PROVIDERS.

    Raises:
        ModelError, ComputeError: it could not be run at all.
    """
    model = resources.files("stylegan_tool").joinpath("assets", "probe.onnx").read_bytes()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        session = _create(model, _session_options(profile=Path(folder) / "probe"), _provider_list(name, model))
        try:
            session.run(None, {"image": np.ones((1, 3, 8, 8), np.float32)})
        except Exception as error:  # as in _create
            raise ComputeError(
                f"the probe failed on {LABELS[name]}: {first_line(error)}", hint="Use another: --provider cpu"
            ) from error
        events: Sequence[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran_on = [event["args"]["provider"] for event in events if event.get("args", {}).get("op_name") == "Conv"]
    if not ran_on:
        raise ComputeError(
            f"the probe's profile on {LABELS[name]} names no convolution", hint="Use another: --provider cpu"
        )
    return next(short for short, full in PROVIDERS.items() if full == ran_on[0])


def cpu_threads() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
