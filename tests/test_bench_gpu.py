"""What measures a GPU runs where there is none."""

import pytest

from bench.bench_gpu import main
from stylegan_tool.session import Session


@pytest.mark.parametrize("on_gpu", [False, True])
def test_it_runs_anywhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], on_gpu: bool) -> None:
    monkeypatch.setattr(Session, "on_gpu", on_gpu)
    main(["--tiny", "--provider", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["compact tiny on CPU"] * 3 + ["reference tiny on CPU"] * 3
    assert ("16 at once" in lines[0]) == on_gpu
