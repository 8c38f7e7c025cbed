from pathlib import Path

import pytest

from stylegan_tool import providers
from stylegan_tool.providers import INSTALL, LABELS, PROVIDERS, provider_chain


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *args, **options: tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_chain_begins_with_what_was_asked_for_and_ends_on_the_cpu(name: str) -> None:
    chain = provider_chain(name, b"")
    assert chain[0][0] == PROVIDERS[name]
    assert chain[-1] == ("CPUExecutionProvider", {})
    assert all(isinstance(value, str) for _, options in chain for value in options.values())
    assert name in LABELS
    assert name in INSTALL


def test_cuda_is_exact_and_searches_no_algorithms_for_each_shape() -> None:
    options = dict(provider_chain("cuda", b"", device_id=3))["CUDAExecutionProvider"]
    assert options["use_tf32"] == "0"
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert options["device_id"] == "3"


def test_tensorrt_leaves_to_cuda_what_it_cannot_do_on_the_same_gpu() -> None:
    chain = provider_chain("tensorrt", b"model", device_id=1)
    assert [name for name, _ in chain] == [PROVIDERS[one] for one in ("tensorrt", "cuda", "cpu")]
    assert [options["device_id"] for _, options in chain[:2]] == ["1", "1"]
    assert chain[1:] == provider_chain("cuda", b"model", device_id=1)


def test_engines_of_two_models_are_kept_apart_and_timings_together(cache: Path) -> None:
    """ONNX Runtime would take the engine of one style for the other: their graphs differ in weights alone."""
    one, other = (provider_chain("tensorrt", model)[0][1] for model in (b"one", b"other"))
    assert one["trt_engine_cache_path"] != other["trt_engine_cache_path"]
    assert Path(one["trt_engine_cache_path"]).parent == cache / "tensorrt"
    assert one["trt_timing_cache_path"] == other["trt_timing_cache_path"]
    assert one == provider_chain("tensorrt", b"one")[0][1]


@pytest.mark.parametrize("half", [False, True])
def test_tensorrt_uses_half_precision_where_the_model_does(half: bool) -> None:
    assert provider_chain("tensorrt", b"", half=half)[0][1]["trt_fp16_enable"] == str(int(half))


class FakeDriver:
    """Two GPUs, of 2 and 3 GiB."""

    def cuInit(self, flags: int) -> int:  # noqa: N802 the driver's own name
        return 0

    def cuDeviceGetCount(self, count: object) -> int:  # noqa: N802 as above
        count._obj.value = 2  # type: ignore[attr-defined]  # what byref holds
        return 0

    def cuDeviceGet(self, device: object, number: int) -> int:  # noqa: N802 as above
        device._obj.value = number  # type: ignore[attr-defined]  # as above
        return 0

    def cuDeviceTotalMem_v2(self, size: object, device: object) -> int:  # noqa: N802 as above
        size._obj.value = (2 + device.value) * 2**30  # type: ignore[attr-defined]  # as above
        return 0


def test_the_driver_knows_how_many_gpus_there_are_and_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_nvidia_driver", FakeDriver)
    assert providers.gpu_driver_problem(1) is None
    assert providers.gpu_driver_problem(2) == "the NVIDIA driver sees 2 GPUs, numbered from 0"
    assert [providers.gpu_memory_bytes(n) for n in (0, 1, 2)] == [2 * 2**30, 3 * 2**30, 0]
    monkeypatch.setattr(providers, "_nvidia_driver", lambda: None)
    assert providers.gpu_driver_problem() == "no NVIDIA driver"
    assert providers.gpu_memory_bytes() == 0
