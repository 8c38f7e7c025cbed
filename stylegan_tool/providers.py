"""What may run a model, and with which options: tables and pure functions, and what the NVIDIA driver knows.

ort_engine.py asks ONNX Runtime which of them it holds; nothing here imports it.
"""

import ctypes
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import platformdirs

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
AUTOMATIC = ("cuda", "coreml", "dml")
NVIDIA = ("cuda", "tensorrt")
NUMBERED = (*NVIDIA, "dml")  # those that take a device's number
# Which builds of ONNX Runtime hold a provider. Two builds at once overwrite each other.
INSTALL = {
    "cuda": "pip uninstall -y onnxruntime; pip install onnxruntime-gpu",
    "tensorrt": "pip uninstall -y onnxruntime; pip install onnxruntime-gpu",
    "dml": "pip uninstall -y onnxruntime onnxruntime-gpu; pip install onnxruntime-directml",
    "coreml": "only its builds for macOS have it",
    "cpu": "pip install --force-reinstall onnxruntime",
}

Chain: TypeAlias = list[tuple[str, dict[str, str]]]


def provider_chain(name: str, model: bytes, *, device_id: int = 0, half: bool = False) -> Chain:
    """Return what to ask ONNX Runtime for, with options, in the order in which it gives nodes away.

    Args:
        name: a key of PROVIDERS.
        model: its content, by which a compiled engine is found again.
        half: whether it computes in float16; TensorRT has to be told.
    """
    device = {"device_id": str(device_id)}
    # An exhaustive search costs hundreds of ms for each new shape, and pictures come in many. TF32 rounds what goes
    # into a product to 10 bits.
    cuda = device | {
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",
    }
    chains: dict[str, Sequence[tuple[str, dict[str, str]]]] = {
        "cuda": [("cuda", cuda)],
        "tensorrt": [("tensorrt", device | _tensorrt_options(model, half=half)), ("cuda", cuda)],
        "dml": [("dml", device)],
        "coreml": [("coreml", {})],
        "cpu": [],
    }
    return [(PROVIDERS[one], options) for one, options in (*chains[name], ("cpu", {}))]


def _tensorrt_options(model: bytes, *, half: bool) -> dict[str, str]:
    cache = tensorrt_cache()
    # A folder for each model: ONNX Runtime names an engine by the graph without its weights, so that two styles of
    # one network would get the same (github.com/microsoft/onnxruntime/issues/6455).
    digest = hashlib.sha256(model).hexdigest()[:16]
    return {
        "trt_fp16_enable": "1" if half else "0",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache / digest),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
    }


def tensorrt_cache() -> Path:
    """Return where compiled engines are kept; it need not exist."""
    return platformdirs.user_cache_path("stylegan-tool", appauthor=False) / "tensorrt"


def gpu_driver_problem(device_id: int = 0) -> str | None:
    """Return why that NVIDIA GPU cannot be used, or None if the driver sees it."""
    driver = _nvidia_driver()
    if driver is None:
        return "no NVIDIA driver"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver sees no GPU"
    if device_id >= count.value:
        return f"the NVIDIA driver sees {count.value} GPU{'s' * (count.value > 1)}, numbered from 0"
    return None


def gpu_memory_bytes(device_id: int = 0) -> int:
    """Return the memory of that NVIDIA GPU, in use or not; 0 where it cannot be found out."""
    if gpu_driver_problem(device_id) is not None:
        return 0
    driver = _nvidia_driver()
    device, size = ctypes.c_int(0), ctypes.c_size_t(0)
    if driver.cuDeviceGet(ctypes.byref(device), device_id) != 0:
        return 0
    return size.value if driver.cuDeviceTotalMem_v2(ctypes.byref(size), device) == 0 else 0


def _nvidia_driver() -> Any:
    """Return the driver's library, or None."""
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
