"""Runs graphs with ONNX Runtime: the only file of this package that imports it.

Which of its providers are there and which is best, whether one really works, and a graph opened on it.
"""

import contextlib
import functools
import io
import json
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_tool.errors import ComputeError, MissingError, ModelError, UsageError, first_line
from stylegan_tool.providers import (
    AUTOMATIC,
    INSTALL,
    LABELS,
    NUMBERED,
    NVIDIA,
    PROVIDERS,
    Chain,
    gpu_driver_problem,
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


def probe_provider(name: str) -> str:
    """Run one convolution on provider `name` and return where ONNX Runtime's own profile says it ran.

    Returns:
        A name of PROVIDERS.

    Raises:
        ModelError, ComputeError: it could not be run at all.
    """
    model = resources.files("stylegan_tool").joinpath("assets", "probe.onnx").read_bytes()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        session = open_graph(model, session_options(profile=Path(folder) / "probe"), provider_list(name, model))
        try:
            session.run(None, {"image": np.ones((1, 3, 8, 8), np.float32)})
        except Exception as error:  # as in open_graph
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


def part_options(threads: int | None, *, share_memory: bool) -> ort.SessionOptions:
    """Return options for one of several parts of a model; see `Session.open_part`."""
    options = session_options()
    if threads is not None:
        options.intra_op_num_threads = threads
        # One of several sessions: threads that spin while they wait would keep the others waiting.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if share_memory:
        _share_memory()
        options.enable_cpu_mem_arena = True
        options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def session_options(*, profile: Path | None = None) -> ort.SessionOptions:
    """Return options for a graph that is run by itself.

    Args:
        profile: the beginning of the path that its profile is written to.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    # The arena keeps the memory of the largest shape for good; pictures come in many sizes.
    options.enable_cpu_mem_arena = False
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return options


def provider_list(name: str, model: Path | bytes, *, device_id: int = 0, half: bool = False) -> Chain:
    """Return `provider_chain` for a model, after finding the libraries that the first of it needs."""
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


def open_graph(
    model: Path | bytes, options: ort.SessionOptions, providers: Chain, *, name: str = "the probe"
) -> ort.InferenceSession:
    """Open a graph; `name` stands for it in messages where it is no file.

    Raises:
        ModelError: ONNX Runtime does not take it.
    """
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
