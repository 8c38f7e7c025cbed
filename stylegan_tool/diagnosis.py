"""What `sgt doctor` finds out: versions, encoders, providers that really load. It changes nothing."""

import platform
from dataclasses import dataclass
from importlib import metadata

from stylegan_tool import __version__
from stylegan_tool.errors import MissingError, SgtError
from stylegan_tool.film.encoders import list_encoders
from stylegan_tool.models import bundled_styles
from stylegan_tool.ort_engine import available_providers, probe_provider, provider_problem, runtime_versions
from stylegan_tool.providers import INSTALL, LABELS, NVIDIA, gpu_driver_problem
from stylegan_tool.session import cpu_threads

_LIBRARIES = ("numpy", "onnx", "opencv-python-headless", "pillow", "av", "typer")
_TRAINING = ("torch", "onnxscript")
_GPU_LINE = "pip install 'stylegan-tool[gpu]'"


@dataclass(frozen=True)
class Diagnosis:
    """Lines to read, and `faults` (nothing works as installed until the `remedy` is done)."""

    lines: tuple[str, ...]
    faults: tuple[str, ...]
    remedy: str


def diagnose() -> Diagnosis:
    """Look at the installation; takes a second or two."""
    lines = [
        f"stylegan-tool   {__version__}",
        f"Python          {platform.python_version()} on {platform.platform()}, {cpu_threads()} CPUs",
        *_version_lines(),
        f"styles          {', '.join(bundled_styles()) or 'none'}",
    ]
    encoders = list_encoders()
    lines.append(f"encoders        {', '.join(name for name, there in encoders.items() if there)}")
    if absent := [name for name, there in encoders.items() if not there]:
        lines.append(f"  not here      {', '.join(absent)}")
    faults: list[str] = []
    runtimes = runtime_versions()
    if len(runtimes) > 1:
        faults.append(f"{' and '.join(runtimes)} are both installed and overwrite each other")
    provider_lines, cpu_works = _provider_lines()
    if not cpu_works:
        faults.append("ONNX Runtime cannot run a convolution on the CPU")
    names = " ".join(runtimes)
    remedy = f"pip uninstall -y {names} && pip install --force-reinstall stylegan-tool"
    return Diagnosis((*lines, *provider_lines), tuple(faults), remedy)


def _version(name: str) -> str:
    try:
        return f"{name} {metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{name} is not installed"


def _version_lines() -> list[str]:
    runtimes = ", ".join(f"{name} {version}" for name, version in runtime_versions().items())
    training = [_version(name) for name in _TRAINING]
    missing = any("not installed" in line for line in training)
    return [
        f"ONNX Runtime    {runtimes}",
        f"libraries       {', '.join(_version(name) for name in _LIBRARIES)}",
        f"training        {', '.join(training)}" + ("  (pip install 'stylegan-tool[train]')" if missing else ""),
    ]


def _openvino_line() -> str:
    try:
        from stylegan_tool import openvino_engine
    except MissingError:
        return "not installed; it may be faster on a CPU: pip install 'stylegan-tool[openvino]'"
    kind = "bfloat16" if openvino_engine.has_bfloat16() else "float32: this CPU has no fast bfloat16"
    return f"{openvino_engine.version()}, {kind}; --provider openvino"


def _provider_lines() -> tuple[list[str], bool]:
    lines, cpu_works = [], False
    for name in available_providers():
        problem = provider_problem(name)
        if problem is not None:
            lines.append(f"{LABELS[name]:<15} built in, cannot be used: {problem}")
            continue
        try:
            ran_on = probe_provider(name)
        except SgtError as error:
            lines.append(f"{LABELS[name]:<15} fails: {error.what}")
            continue
        cpu_works = cpu_works or ran_on == "cpu"
        if ran_on == name:
            lines.append(f"{LABELS[name]:<15} works: a convolution ran there")
        else:
            need = f"; its libraries did not load: {_GPU_LINE}" if name in NVIDIA else ""
            lines.append(f"{LABELS[name]:<15} does not load: the convolution ran on {LABELS[ran_on]}{need}")
    lines.append(f"{'OpenVINO':<15} {_openvino_line()}")
    if gpu_driver_problem() is None and "cuda" not in available_providers():
        lines.append(f"There is an NVIDIA GPU, but the installed ONNX Runtime has no CUDA: {INSTALL['cuda']}")
    return lines, cpu_works
