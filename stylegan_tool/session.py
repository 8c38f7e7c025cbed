"""Opens a model and chooses what runs it and where: the only file that imports onnxruntime.

Batches: float32 (N,3,H,W) in [-1,1]; see pixels.py.
"""

import contextlib
import ctypes
import functools
import io
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from stylegan_tool.adapt import adapt, adapt_encoder, info_of, read_graph
from stylegan_tool.errors import ComputeError, MemoryShortError, MissingError, ModelError
from stylegan_tool.image_files import read_picture
from stylegan_tool.interface import Stated, constant_value, fit_value
from stylegan_tool.model_info import ModelInfo
from stylegan_tool.operators import ValueInfo
from stylegan_tool.pixels import Batch, Image, to_batch

# ONNX Runtime prints red errors about libraries that a machine without a GPU cannot have; we say it in a line.
_FATAL = 4
try:
    import onnxruntime as ort

    ort.set_default_logger_severity(_FATAL)
except (ImportError, AttributeError) as error:  # what is left when one of two wheels has been uninstalled
    raise MissingError(
        f"ONNX Runtime is missing or damaged ({error})",
        hint="pip uninstall -y onnxruntime onnxruntime-gpu && pip install --force-reinstall stylegan-tool",
    ) from error

# Our short names, in the order in which `auto` tries what is there.
PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
LABELS = {"cuda": "CUDA", "tensorrt": "TensorRT", "coreml": "CoreML", "dml": "DirectML", "cpu": "CPU"}
# Another engine than ONNX Runtime, for CPUs; only by name, since an extra installs it.
OPENVINO = "openvino"
# TensorRT compiles an engine for each shape, for minutes: only by name.
_AUTO = ("cuda", "coreml", "dml")


def gpu_driver_problem() -> str | None:
    """Return why no NVIDIA GPU can be used, or None if the driver sees one."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return "no NVIDIA driver"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver sees no GPU"
    return None


def provider_problem(name: str) -> str | None:
    """Return why provider `name` cannot be asked for on this machine, or None."""
    if PROVIDERS[name] not in ort.get_available_providers():
        return f"the installed ONNX Runtime has no {LABELS[name]}"
    if name in ("cuda", "tensorrt"):
        return gpu_driver_problem()
    return None


@dataclass(frozen=True)
class ProviderChoice:
    """What to ask ONNX Runtime for, and the line to say where that is less than was hoped for."""

    name: str
    note: str = ""


def choose_provider(wanted: str) -> ProviderChoice:
    """Return the provider for `wanted` (auto or a key of PROVIDERS); the CPU where it cannot be had."""
    if wanted != "auto":
        problem = provider_problem(wanted)
        if problem is None:
            return ProviderChoice(wanted)
        return ProviderChoice("cpu", f"{LABELS[wanted]} cannot be used here ({problem}); running on the CPU")
    usable = [name for name in _AUTO if provider_problem(name) is None]
    if usable:
        return ProviderChoice(usable[0])
    if gpu_driver_problem() is None:
        why = provider_problem("cuda")
        return ProviderChoice("cpu", f"There is a GPU, but {why}; running on the CPU (see `sgt doctor`)")
    return ProviderChoice("cpu")


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


def _provider_list(name: str) -> list[Any]:
    if name == "cpu":
        return [PROVIDERS["cpu"]]
    if name in ("cuda", "tensorrt"):
        # It finds the libraries of pip packages and of torch, and prints each one that it does not find.
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
    # An exhaustive search costs hundreds of ms for each new shape, and pictures come in many.
    options = {"cudnn_conv_algo_search": "HEURISTIC"} if name == "cuda" else {}
    chain: list[Any] = [(PROVIDERS[name], options)]
    if name == "tensorrt" and provider_problem("cuda") is None:
        chain.append(PROVIDERS["cuda"])
    return [*chain, PROVIDERS["cpu"]]


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _create(
    model: Path | bytes, options: ort.SessionOptions, providers: list[Any], *, name: str = "the probe"
) -> ort.InferenceSession:
    where = model if isinstance(model, Path) else name
    try:
        if isinstance(model, Path) and not _is_unicode(model):
            model = model.read_bytes()
        return ort.InferenceSession(str(model) if isinstance(model, Path) else model, options, providers=providers)
    except Exception as error:  # ONNX Runtime has a dozen classes, with no common base but this
        raise ModelError(
            f"ONNX Runtime cannot open {where}: {_first_line(error)}",
            hint="Name an .onnx file, a run folder or a style (`sgt models list` shows them), or export it again.",
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
    """A graph in ONNX Runtime."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.inputs: list[str] = [one.name for one in session.get_inputs()]
        self.outputs: list[str] = [one.name for one in session.get_outputs()]

    def run(self, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs, in order."""
        made: list[NDArray[Any]] = self._session.run(None, inputs)
        return made


def _open_openvino(model: Path | bytes, name: str, *, precise: bool = False) -> Engine:
    from stylegan_tool.openvino_engine import OpenVinoEngine

    try:
        return OpenVinoEngine(model, precise=precise)
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO cannot open {name}: {_first_line(error)}",
            hint="Leave --provider openvino out: ONNX Runtime may know its operators.",
        ) from error


class Session:
    """A model, opened on a provider.

    Attributes:
        info: what the model says of itself, completed by its graph where it is somebody else's.
        source: what was opened: the file, or its graph adapted to take pictures as ours do.
        reading: how somebody else's model takes pictures, for people; else empty.
        provider: the key of PROVIDERS that really loaded.
        note: a line to say if that is not what was asked for; else empty.
    """

    def __init__(
        self,
        path: Path,
        *,
        provider: str = "auto",
        require_gpu: bool = False,
        inputs: Mapping[str, str] | None = None,
        stated: Stated | None = None,
    ) -> None:
        """Open `path`.

        Args:
            inputs: values of inputs beside the picture; name -> numbers, one-hot:N, FILE.npy or MODEL.onnx:PICTURE.
            stated: how somebody else's model takes pictures, as far as it is known; by default what the file says.

        Raises:
            ModelError: it is no model, or how it takes pictures cannot be found out (see adapt.py).
            MissingError: `require_gpu`, and it would run on the CPU.
        """
        if require_gpu and provider == OPENVINO:
            raise _no_gpu("--provider openvino runs on the CPU")
        choice = ProviderChoice(OPENVINO) if provider == OPENVINO else choose_provider(provider)
        self.note = choice.note
        if require_gpu and choice.name == "cpu":
            raise _no_gpu(choice.note or "no GPU was found")
        self.path = path
        adapted = adapt(path, inputs or {}, input_value, stated)
        self.info, self.source = adapted.info, adapted.source
        self.reading = adapted.interface.describe() if adapted.interface is not None else ""
        self.provider = choice.name
        self._engine = self._open(require_gpu=require_gpu)

    def _open(self, *, require_gpu: bool) -> Engine:
        """Open the model, and note where it really runs."""
        if self.provider == OPENVINO:
            return _open_openvino(self.source, str(self.path))
        wanted = self.provider
        session = _create(self.source, _session_options(), _provider_list(wanted), name=str(self.path))
        if PROVIDERS[wanted] not in session.get_providers():
            self.provider = "cpu"
            self.note = f"{LABELS[wanted]} did not load (see `sgt doctor`); running on the CPU"
            if require_gpu:
                raise _no_gpu(self.note)
        return OrtEngine(session)

    @property
    def label(self) -> str:
        """The provider's name for people: 'CPU', 'CUDA', 'CPU by OpenVINO'."""
        return "CPU by OpenVINO" if self.provider == OPENVINO else LABELS[self.provider]

    @property
    def on_gpu(self) -> bool:
        """Whether it runs elsewhere than on the CPU."""
        return self.provider not in ("cpu", OPENVINO)

    def run(self, batch: Batch) -> Batch:
        """Return the model's output for `batch`; its sides are as the model makes them.

        Raises:
            ComputeError: out of memory, or the provider failed.
        """
        height, width = batch.shape[2:]
        result: Batch = _run(
            self._engine, {self._engine.inputs[0]: batch}, f"{self.path.name} failed on {width}x{height} pixels"
        )[0]
        return result

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
        return Part(OrtEngine(_create(model, options, _provider_list(self.provider), name=name)), self.path.name)


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
            f"{failed}: {_first_line(error)}", hint="If memory ran out, use smaller tiles: --tile 512"
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
    session = _create(graph, _session_options(), _provider_list("cpu"), name=str(path))
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
        session = _create(model, _session_options(profile=Path(folder) / "probe"), _provider_list(name))
        try:
            session.run(None, {"image": np.ones((1, 3, 8, 8), np.float32)})
        except Exception as error:  # as in _create
            raise ComputeError(f"the probe failed on {LABELS[name]}: {_first_line(error)}") from error
        events: Sequence[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran_on = [event["args"]["provider"] for event in events if event.get("args", {}).get("op_name") == "Conv"]
    if not ran_on:
        raise ComputeError(f"the probe's profile on {LABELS[name]} names no convolution")
    return next(short for short, full in PROVIDERS.items() if full == ran_on[0])


def cpu_threads() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
