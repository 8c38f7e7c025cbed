import pytest

from stylegan_tool import diagnosis
from stylegan_tool.__main__ import main
from stylegan_tool.errors import ComputeError


def test_doctor_says_where_the_convolution_ran(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "CPU             works: a convolution ran there" in out
    assert "libx264" in out
    assert "vangogh" in out


def test_two_runtimes_at_once_are_a_fault(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    versions = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}
    monkeypatch.setattr(diagnosis, "runtime_versions", lambda: versions)
    assert main(["doctor"]) == 7
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in capsys.readouterr().err


def test_a_gpu_whose_libraries_do_not_load_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnosis, "available_providers", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(diagnosis, "provider_problem", lambda name: None)
    monkeypatch.setattr(diagnosis, "probe_provider", lambda name: "cpu")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "the convolution ran on CPU" in out
    assert "pip install 'stylegan-tool[gpu]'" in out


def test_a_cpu_that_fails_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> str:
        raise ComputeError("no convolution")

    monkeypatch.setattr(diagnosis, "probe_provider", fail)
    assert main(["doctor"]) == 7
