"""Every command in README.md and docs/ is run as it stands there, page by page, in a folder as a reader has it."""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.core import TyperCommand, TyperGroup

from stylegan_tool import cli, demo
from stylegan_tool.__main__ import main
from stylegan_tool.commands import fetch
from stylegan_train.config import PRESETS
from tests import foreign_networks
from tests.docs.pages import PAGES, Command, name_of, read_code, read_commands
from tests.docs.stage import add_run, set_stage
from tests.models import REPOSITORY

# What cannot run in a test, and why. Commands of `sgt` among them are parsed all the same.
NOT_RUN = {
    r"(python3 -m venv |\. \.venv/|pip install )": "makes an environment",
    r"make ": "makes an environment of its own",
    r"docker ": "needs a container's engine; tests/test_container.py",
    r"ray (start|stop)": "starts a cluster, which tests/stylegan_tool/cluster does",
    r"torchrun ": "starts processes, which tests/train/test_distributed.py does",
    r"sgt .* --devices ": "starts processes, which tests/train/test_distributed.py does",
    r"sgt .* --ray ": "starts a cluster, which tests/stylegan_tool/cluster does",
    r"sgt .* --(require-gpu|device-id|provider tensorrt)": "needs a GPU",
    r"tensorboard ": "serves until it is stopped",
    r"python docs/": "makes the pages' pictures; tests/test_examples.py",
}
# Pages that tell how something was trained for hours: with --dry-run, so that options and pictures are looked at.
LONG = {"docs/styles.md"}
# Options in the prose that are other programs'.
NOT_OURS = {"--build-arg", "--gpus", "--nproc-per-node", "--node-rank", "--num-gpus"}
# A reader's names for what differs from machine to machine.
VARIABLES = {"SLURM_ARRAY_TASK_ID": "3"}

COMMANDS = {name_of(page): read_commands(page) for page in PAGES}


def _excuse(command: Command) -> str | None:
    return next((pattern for pattern in NOT_RUN if re.match(pattern, command.text)), None)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to copy: `new` is without a run, `used` has one."""
    folder = tmp_path_factory.mktemp("stage")
    set_stage(folder / "new")
    shutil.copytree(folder / "new", folder / "used")
    with contextlib.chdir(folder / "used"):
        add_run(folder / "used")
    return folder


def _shrink(patch: pytest.MonkeyPatch, command: Command) -> None:
    """Let presets keep their names and what else is typed, but not their sizes."""
    tiny = PRESETS["tiny"]
    patch.setitem(PRESETS, "reference", {**tiny, "epochs": 2})
    # Networks of a style that ships are begun with as they are.
    same = ("ngf", "n_blocks") if "--init" not in command.text else ()
    small = {key: tiny[key] for key in (*same, "ndf", "disc_layers", "load_size", "crop_size")}
    patch.setitem(PRESETS, "compact", {**PRESETS["compact"], **small})


@pytest.fixture
def authors_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The published generators, on this machine."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            path = tmp_path / "published" / self.path.strip("/")
            path.parent.mkdir(exist_ok=True)
            torch.save(foreign_networks.randomise(foreign_networks.jz(4, 1)).state_dict(), path)
            super().do_GET()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "published")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(fetch, "ADDRESS", f"http://127.0.0.1:{server.server_port}/{{name}}.pth")
        yield
        server.shutdown()
        thread.join()


@pytest.fixture
def small_demo(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures in the place of the examples."""
    monkeypatch.setattr(demo, "examples_folder", lambda: stage / "new")
    monkeypatch.setattr(demo, "example_pictures", lambda: sorted((stage / "new" / "photos").glob("*.png")))


def parse(words: list[str]) -> dict[str, Any] | None:
    """Return what a command of `sgt` would be called with; None if it cannot be parsed, which it says itself."""
    seen: list[dict[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TyperCommand, "invoke", lambda self, context: seen.append(context.params))
        code = main(words)
    return seen[0] if code == 0 and seen else None


def promised(command: Command, values: dict[str, Any]) -> list[Path]:
    """Return what must be there after a command: its OUT, its files of figures, and what its comment points at."""
    if values.get("plan") or values.get("dry_run") or command.page in LONG:
        return []
    verb = command.text.split()[1]
    outs = [values["target"]] if verb in ("images", "video") else []
    outs += [values["json_file"]] if verb == "evaluate" else []
    if report := values.get("report"):
        outs += [f"{report}.json", f"{report}.png"] if verb == "video" else [report]
    outs = [Path(str(out).replace("%05d", "00001")) for out in outs if out]
    told = re.findall(r"-> (\S+/\S*)", command.comment)
    return [*outs, *(Path(name.rstrip(",;.")) for name in told)]


def run(command: Command) -> str | None:
    """Run one command; return what is wrong with it."""
    words = shlex.split(os.path.expandvars(command.text))
    excused = _excuse(command) is not None
    if words[0] != "sgt":
        if excused:
            missing = [word for word in words if word.endswith(".py") and not (REPOSITORY / word).is_file()]
            return f"no {missing[0]}" if missing else None
        if words[0] == "cd":
            os.chdir(words[1])
            return None
        code = subprocess.run(command.text, shell=True, check=False).returncode
        return f"exit code {code}" if code else None
    values = parse(words[1:])
    if values is None:
        return "cannot be parsed"
    if excused:
        return None
    dry = ["--dry-run"] if command.page in LONG and words[1] == "train" else []
    if code := main([*words[1:], *dry]):
        return f"exit code {code}"
    missing = [str(path) for path in promised(command, values) if not path.exists()]
    return f"made no {', '.join(missing)}" if missing else None


@pytest.mark.usefixtures("authors_server", "small_demo")
@pytest.mark.parametrize("page", [page for page in COMMANDS if COMMANDS[page]])
def test_the_commands_of_a_page(
    page: str, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = COMMANDS[page]
    trains = any(command.text.startswith("sgt train") for command in commands)
    here = shutil.copytree(stage / ("new" if trains else "used"), tmp_path / "here")
    monkeypatch.chdir(here)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    wrong, spent = [], []
    for command in commands:
        capsys.readouterr()
        started = time.process_time()
        with monkeypatch.context() as patch:
            _shrink(patch, command)
            what = run(command)
        if what:
            said = "".join(capsys.readouterr())
            wrong.append(f"{command}\n  {what}\n{said[-600:]}")
        spent.append(f"{time.process_time() - started:5.1f} s  {command}")
    print("\n".join(spent))
    assert not wrong, "\n".join(wrong)


def _options(command: Any) -> Iterator[str]:
    """Yield the options of a command and of those below it."""
    for option in command.params:
        yield from (*option.opts, *option.secondary_opts)
    if isinstance(command, TyperGroup):
        context = command.make_context("sgt", [], resilient_parsing=True)
        for name in command.list_commands(context):
            yield from _options(command.get_command(context, name))


def test_every_exception_is_needed() -> None:
    used = {_excuse(command) for commands in COMMANDS.values() for command in commands}
    assert used - {None} == set(NOT_RUN)


def test_options_named_in_the_prose_are_there() -> None:
    """`--option` or `--option VALUE` between backticks is one of some command."""
    known = {"--help", *_options(typer.main.get_command(cli.app))}
    unknown = {
        option: f"{name_of(page)}:{line}"
        for page in PAGES
        for line, code in read_code(page)
        if code.startswith(("--", "sgt "))
        for option in re.findall(r"(?:^| )(--[a-z][a-z-]*)", code)
        if option not in known
    }
    assert unknown.keys() == NOT_OURS, unknown
