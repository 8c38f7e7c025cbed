"""What Tab puts in, by the words that bash, zsh and fish send and the answers that they read."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from stylegan_tool.__main__ import main
from stylegan_tool.cli import COMMANDS
from stylegan_tool.commands.model_options import domain_names
from stylegan_tool.installed import model_files
from stylegan_tool.metadata import read_metadata
from stylegan_tool.models import bundled_styles
from tests.models import BLUE, RED, make_info, write_colour_model
from tests.stylegan_tool.test_cli import HEAVY

SHELLS = ("bash", "zsh", "fish")


def _ask(shell: str, line: str) -> dict[str, str]:
    """Return the environment by which `shell` asks what may follow `line`."""
    words = line.split(" ")
    asked = {"_SGT_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        return {**asked, "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return {**asked, "_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}


def _read(shell: str, answer: str) -> list[str]:
    """Return the values in a shell's answer."""
    if shell == "bash":
        return answer.split()
    if shell == "fish":
        return [line.partition("\t")[0] for line in answer.splitlines() if line]
    return re.findall(r'^(?:_arguments .\*: :\(\()?"(.*?)"(?=[:)]|$)', answer, re.MULTILINE)


CASES = {
    "sgt ": list(COMMANDS),
    "sgt ex": ["export"],
    "sgt models ": ["list", "info", "remove", "add", "fetch"],
    "sgt video --st": ["--steady", "--strength", "--start"],
    "sgt --v": ["--version"],
    "sgt images a b --direction ": ["A2B", "B2A"],
    "sgt images a b --to v": ["vangogh"],
    "sgt images --to ": ["vangogh", "monet", "photo"],
    "sgt images a b --model ": ["monet", "vangogh", "runs/mine-001"],
    "sgt images a b --provider c": ["cpu", "cuda", "coreml"],
    "sgt images a b --tile ": ["auto", "off"],
    "sgt video a b --codec h": ["h264", "hevc"],
    "sgt models info m": ["monet"],
    "sgt models fetch style_c": ["style_cezanne"],
    "sgt train photo2v": ["photo2vangogh"],
    "sgt train x --preset ": ["reference", "compact", "tiny"],
    "sgt export ": ["runs/mine-001"],
    "sgt export --precision ": ["fp32", "fp16", "int8"],
    "sgt images ": [],  # then the shell offers files
    "sgt images a b --report ": [],
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", CASES)
def test_tab_offers_what_may_follow(
    line: str,
    shell: str,
    both_ways: Path,
    in_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (in_folder / "runs").mkdir()
    shutil.copytree(both_ways, in_folder / "runs" / "mine-001")
    for name, value in _ask(shell, line).items():
        monkeypatch.setenv(name, value)
    assert main([]) == 0
    said = capsys.readouterr()
    found = _read(shell, said.out)
    expected = CASES[line]
    assert sorted(found) == sorted(expected)
    assert not said.err
    if shell == "zsh" and not expected:
        assert said.out == "_files\n"


@pytest.mark.parametrize("line", ["sgt video --", "sgt train x --", "sgt "])
def test_what_fish_shows_beside_a_value_is_one_line(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in _ask("fish", line).items():
        monkeypatch.setenv(name, value)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert all(re.fullmatch(r"[\w-]+\t.+", one) for one in lines)


@pytest.mark.parametrize(
    "line", ["sgt ", "sgt video --", "sgt train --", "sgt images a b --model ", "sgt images --to "]
)
def test_tab_waits_for_nothing_heavy(line: str, in_folder: Path) -> None:
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('|'.join(name for name in {HEAVY!r} if name in sys.modules)))\n"
        "from stylegan_tool.__main__ import main\nraise SystemExit(main([]))"
    )
    environment = {**os.environ, **_ask("bash", line)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.splitlines()[-1] == ""
    assert len(run.stdout.splitlines()) > 2


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shells_script_asks_by_these_words(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_SGT_COMPLETE", f"source_{shell}")
    assert main([]) == 0
    script = capsys.readouterr().out
    assert f"_SGT_COMPLETE=complete_{shell}" in script
    for name in _ask(shell, "sgt ").keys() - {"_SGT_COMPLETE", "_TYPER_COMPLETE_FISH_ACTION" if shell == "zsh" else ""}:
        assert name in script


def test_domains_are_those_of_whole_models(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGT_MODELS", str(in_folder / "models"))
    write_colour_model(in_folder / "models" / "mine" / "A2B.onnx", RED, make_info("A2B", domain_b="embroidery"))
    write_colour_model(in_folder / "runs" / "ours-001" / "B2A.onnx", BLUE, make_info("B2A", domain_a="fresco"))
    write_colour_model(in_folder / "models" / "foreign" / "model.onnx", RED, None)
    torn = write_colour_model(in_folder / "models" / "torn" / "A2B.onnx", RED, make_info("A2B", domain_b="mosaic"))
    torn.write_bytes(torn.read_bytes()[:-1])
    (in_folder / "models" / "text").mkdir()
    (in_folder / "models" / "text" / "A2B.onnx").write_text("<html>not found</html>", encoding="utf-8")
    assert sorted(domain_names()) == ["embroidery", "fresco", "monet", "photo", "vangogh"]


@pytest.mark.parametrize("path", model_files(bundled_styles()["vangogh"]), ids=lambda path: path.name)
def test_metadata_is_what_the_onnx_library_reads(path: Path) -> None:
    assert read_metadata(path) == {one.key: one.value for one in onnx.load(path).metadata_props}


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself_completes(in_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The script is read by a real bash, and its function called as Tab calls it."""
    sgt = tmp_path / "sgt"
    sgt.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stylegan_tool "$@"\n', encoding="utf-8")
    sgt.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = subprocess.run(
        [sgt], capture_output=True, text=True, check=True, env={**environment, "_SGT_COMPLETE": "source_bash"}
    ).stdout
    press_tab = 'COMP_WORDS=(sgt video --st); COMP_CWORD=2; _sgt_completion sgt; printf "%s " "${COMPREPLY[@]}"'
    run = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{press_tab}"], capture_output=True, text=True, check=True, env=environment
    )
    assert run.stdout.split() == ["--steady", "--strength", "--start"]
