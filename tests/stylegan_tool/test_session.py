import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from stylegan_tool import session as session_module
from stylegan_tool.errors import ComputeError, MissingError, ModelError, UsageError
from stylegan_tool.ort_engine import available_providers, choose_provider, probe_provider, provider_problem
from stylegan_tool.pixel_graph import PAINTED, SUM
from stylegan_tool.providers import PROVIDERS
from stylegan_tool.session import Session, read_model_info
from tests.models import RED, make_info, write_colour_model, write_graph

NO_DRIVER = "no NVIDIA driver"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_colour_model(tmp_path / "red.onnx", RED, make_info("A2B", style="red"))


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylegan_tool.ort_engine.gpu_driver_problem", lambda device_id=0: NO_DRIVER)


def _with_providers(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [PROVIDERS[name] for name in names])


def test_the_model_says_what_it_is(model: Path) -> None:
    assert read_model_info(model).style == "red"
    assert Session(model).info == read_model_info(model)


def test_it_runs_any_number_and_size(model: Path) -> None:
    result = Session(model, provider="cpu").run(np.zeros((2, 3, 5, 7), np.float32))
    assert result.shape == (2, 3, 5, 7)
    assert result[:, 0].min() == 1


@pytest.mark.usefixtures("without_gpu")
def test_without_a_gpu_auto_is_silent_and_cuda_says_one_line(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert Session(model, provider="auto").note == ""
    asked = Session(model, provider="cuda")
    assert asked.provider == "cpu"
    assert "CUDA cannot be used here" in asked.note
    assert "\n" not in asked.note
    assert capfd.readouterr() == ("", "")  # ONNX Runtime's own red lines would be here


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("provider", ["auto", "cuda", "coreml"])
def test_require_gpu_does_not_fall_back(model: Path, provider: str) -> None:
    with pytest.raises(MissingError, match="--require-gpu") as caught:
        Session(model, provider=provider, require_gpu=True)
    assert caught.value.exit_code == 7


def test_auto_takes_the_gpu_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylegan_tool.ort_engine.gpu_driver_problem", lambda device_id=0: None)
    _with_providers(monkeypatch, "tensorrt", "cuda", "cpu")
    assert choose_provider("auto").name == "cuda"
    assert choose_provider("tensorrt").name == "tensorrt"
    _with_providers(monkeypatch, "coreml", "cpu")
    assert choose_provider("auto").name == "coreml"


def test_a_gpu_that_the_runtime_cannot_use_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylegan_tool.ort_engine.gpu_driver_problem", lambda device_id=0: None)
    _with_providers(monkeypatch, "cpu")
    choice = choose_provider("auto")
    assert choice.name == "cpu"
    assert "no CUDA" in choice.note


@pytest.mark.skipif(
    provider_problem("cuda") is None or "cuda" not in available_providers(),
    reason="needs an ONNX Runtime that was built with CUDA on a machine without a GPU",
)
def test_a_provider_that_does_not_load_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime goes on with the CPU by itself, after red lines that nobody should see."""
    monkeypatch.setattr("stylegan_tool.ort_engine.gpu_driver_problem", lambda device_id=0: None)
    opened = Session(model, provider="cuda")
    assert opened.provider == "cpu"
    assert "CUDA did not load" in opened.note
    assert probe_provider("cuda") == "cpu"
    with pytest.raises(MissingError):
        Session(model, provider="cuda", require_gpu=True)
    assert capfd.readouterr() == ("", "")


def test_tensorrt_that_does_not_load_leaves_it_to_cuda(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = SimpleNamespace(get_providers=lambda: [PROVIDERS["cuda"], PROVIDERS["cpu"]])
    devices = []

    def bind(session: object, device: tuple[str, int]) -> object:
        devices.append(device)
        return session

    monkeypatch.setattr("stylegan_tool.ort_engine.gpu_driver_problem", lambda device_id=0: None)
    _with_providers(monkeypatch, "tensorrt", "cuda", "cpu")
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *args, **options: loaded)
    monkeypatch.setattr(session_module, "BoundEngine", bind)
    opened = Session(model, provider="tensorrt", device_id=1)
    assert (opened.provider, opened.label, opened.on_gpu) == ("cuda", "CUDA", True)
    assert opened.note == "TensorRT did not load (see `sgt doctor`); running on CUDA"
    assert devices == [("cuda", 1)]


@pytest.mark.usefixtures("without_gpu")
def test_a_numbered_device_that_is_not_there_is_said(model: Path) -> None:
    assert Session(model, device_id=1).note == f"--device-id 1: {NO_DRIVER}; running on the CPU"
    for provider in ("cpu", "openvino", "coreml"):
        with pytest.raises(UsageError, match=f"--provider {provider} takes none"):
            Session(model, provider=provider, device_id=0)


def test_a_number_beyond_the_last_gpu_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than a night on the CPU."""
    monkeypatch.setattr(
        "stylegan_tool.ort_engine.gpu_driver_problem", lambda device_id=0: "only 2" if device_id > 1 else None
    )
    with pytest.raises(MissingError, match="--device-id 2: only 2"):
        Session(model, device_id=2)


def test_what_runs_on_bound_memory_is_a_copy_of_its_own(model: Path, tmp_path: Path) -> None:
    node = helper.make_node("Neg", ["image"], ["stylized"])
    session = Session(write_graph(tmp_path / "neg.onnx", [node], {}, make_info("A2B")), provider="cpu")
    given = [np.full((n, 3, 4, side), value, np.float32) for n, side, value in [(1, 5, 1), (1, 5, 2), (2, 3, 3)]]
    results = [session.run(batch) for batch in (*given, given[0])]
    for batch, result in zip((*given, given[0]), results, strict=True):
        assert np.array_equal(result, -batch)
    assert given[0].max() == 1  # what was given is not written to


def test_memory_is_bound_once_for_a_size(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[str] = []
    right = ort.IOBinding.bind_output

    def bind(binding: object, name: str, *device: object) -> None:
        bound.append(name)
        right(binding, name, *device)

    monkeypatch.setattr("onnxruntime.IOBinding.bind_output", bind)
    session = Session(model, provider="cpu")
    for side in (4, 4, 4, 6, 6):
        session.run_pixels([np.zeros((side, side, 3), np.uint8)])
    assert bound == [PAINTED, SUM] * 2


def test_a_failed_run_leaves_the_next_one_right(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["image", "wide"], ["stylized"])
    path = write_graph(tmp_path / "odd.onnx", [node], {"wide": np.ones((1, 3, 1, 5), np.float32)}, make_info("A2B"))
    session = Session(path, provider="cpu")
    for side, is_right in ((5, True), (4, False), (4, False), (5, True)):
        batch = np.zeros((1, 3, 2, side), np.float32)
        if is_right:
            assert session.run(batch).min() == 1
        else:
            with pytest.raises(ComputeError):
                session.run(batch)


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_are_refused(tmp_path: Path, channels: int) -> None:
    node = helper.make_node("Identity", ["image"], ["stylized"])
    path = write_graph(tmp_path / "other.onnx", [node], {}, None, channels=channels)
    with pytest.raises(ModelError, match=rf"\[N, {channels}, H, W\]: no picture of 3 channels"):
        Session(path)


def test_a_failing_run_is_a_compute_error(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["image", "wide"], ["stylized"])
    path = write_graph(tmp_path / "odd.onnx", [node], {"wide": np.zeros((1, 3, 1, 5), np.float32)}, make_info("A2B"))
    with pytest.raises(ComputeError, match=r"odd\.onnx failed on 4x4 pixels"):
        Session(path).run(np.zeros((1, 3, 4, 4), np.float32))


def test_the_probe_ran_on_the_cpu() -> None:
    assert probe_provider("cpu") == "cpu"


def test_a_damaged_onnx_runtime_is_said_in_a_line(tmp_path: Path) -> None:
    """What is left when one of two installed wheels has been uninstalled: a package without its parts."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("")
    code = "import sys; from stylegan_tool.__main__ import main; sys.exit(main(['doctor']))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 7
    assert "ONNX Runtime is missing or damaged" in run.stderr
    assert "Traceback" not in run.stderr
