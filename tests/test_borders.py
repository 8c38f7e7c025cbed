"""How the code is cut: who may import whom, which files know a large library, and how long a function may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter

import pytest

from tests.models import REPOSITORY

# Rooms, each of which may import those before it.
ROOMS = {"stylegan_tool": "stylegan_tool", "stylegan_train": "train/stylegan_train", "stylegan_export": "export"}
CODE = ("stylegan_tool", "train", "export", "bench", "docs", "examples", "tests")
MOST_LINES = 60

# What each part of stylegan_tool may import of it. A part is a folder; `core` is the files that lie in none, but those
# of the command and its like.
COMMAND = {"__main__", "cli", "demo", "diagnosis", "library", "stylegan_tool"}  # the last one is __init__
PARTS = {
    "image_files": {"core"},
    "core": {"image_files"},
    "film": {"core", "image_files"},
    "folder": {"core", "image_files"},
    "cluster": {"core", "image_files", "film", "folder"},
    "gallery": {"core", "image_files", "film", "folder"},
    "commands": {"core", "image_files", "film", "folder", "cluster", "gallery", "command"},
    "command": {"core", "image_files", "film", "folder", "gallery", "commands"},
}
# image_files is read by everything, and itself knows these alone.
BELOW_IMAGE_FILES = {"errors", "pixels", "whole_files"}

# Large libraries, and the files or folders of the rooms that may import them.
LIBRARIES = {
    "torch": {"train/stylegan_train/", "export/stylegan_export/"},
    "onnxruntime": {"stylegan_tool/ort_engine.py", "export/stylegan_export/precision.py"},
    "onnx": {
        "stylegan_tool/adapt.py",
        "stylegan_tool/anatomy.py",
        "stylegan_tool/interface.py",
        "stylegan_tool/norm_fusion.py",
        "stylegan_tool/normstats.py",
        "stylegan_tool/operators.py",
        "stylegan_tool/pixel_graph.py",
        "train/stylegan_train/initial.py",
        "export/stylegan_export/",
    },
    "openvino": {"stylegan_tool/openvino_engine.py"},
    "av": {"stylegan_tool/film/"},
    "ray": {"stylegan_tool/cluster/connection.py"},
    "rich": {"stylegan_tool/progress.py"},
    "PIL": {
        "stylegan_tool/image_files/",
        "stylegan_tool/flicker_report.py",  # draws
        "stylegan_tool/gallery/embed.py",  # scales and encodes for a page
        "stylegan_tool/swd.py",  # scales as training does
        "train/stylegan_train/curves.py",  # draws
        "train/stylegan_train/data.py",  # scales
    },
    "typer": {
        "stylegan_tool/cli.py",
        "stylegan_tool/commands/",
        "stylegan_tool/command.py",
        "stylegan_tool/help.py",
        "stylegan_tool/usage.py",
        "train/stylegan_train/cli.py",
        "train/stylegan_train/options.py",
        "export/stylegan_export/cli.py",
        "export/stylegan_export/import_cli.py",
    },
    "torch_fidelity": {"train/stylegan_train/inception.py"},
    "safetensors": {"train/stylegan_train/foreign_files.py"},
}


@cache
def trees(folder: str) -> Mapping[str, ast.Module]:
    """Return all modules below `folder` by their path in the repository."""
    paths = sorted((REPOSITORY / folder).rglob("*.py"))
    return {path.relative_to(REPOSITORY).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield what is imported: of `from a import b` both a and a.b, since b may be a module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def everywhere(tree: ast.Module) -> set[str]:
    """What a module imports, wherever in it that stands."""
    return set(imported(ast.walk(tree)))


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    names = list(ROOMS)
    later = set(names[names.index(room) + 1 :])
    found = {path: everywhere(tree) for path, tree in trees(ROOMS[room]).items()}
    assert sum(map(len, found.values())) > 10
    assert [path for path, imports in found.items() if {name.partition(".")[0] for name in imports} & later] == []


@pytest.mark.parametrize(("library", "places"), LIBRARIES.items())
def test_these_files_alone_know_it(library: str, places: set[str]) -> None:
    users = {
        path
        for folder in ROOMS.values()
        for path, tree in trees(folder).items()
        if library in {name.partition(".")[0] for name in everywhere(tree)}
    }
    assert [user for user in sorted(users) if not any(user.startswith(place) for place in places)] == []
    assert [place for place in sorted(places) if not any(user.startswith(place) for user in users)] == []


def part_of(module: str) -> str:
    """Return the part of stylegan_tool that `module`, named without the package, belongs to."""
    first, _, inner = module.partition(".")
    if inner or (REPOSITORY / "stylegan_tool" / first).is_dir():
        return first
    return "command" if first in COMMAND else "core"


def test_what_lies_below_knows_nothing_of_what_lies_above() -> None:
    modules = {path_to_module(path): tree for path, tree in trees("stylegan_tool").items()}
    wrong = []
    for module, tree in modules.items():
        for name in everywhere(tree) & modules.keys() - {"stylegan_tool"}:
            user, used = (one.removeprefix("stylegan_tool.") for one in (module, name))
            allowed = part_of(used) in PARTS[part_of(user)] | {part_of(user)}
            if part_of(user) == "image_files" and part_of(used) == "core":
                allowed = used in BELOW_IMAGE_FILES
            if not allowed:
                wrong.append(f"{user} -> {used}")
    assert wrong == []


def path_to_module(path: str) -> str:
    """Return the name under which a file of stylegan_tool is imported."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_no_modules_need_each_other() -> None:
    modules = {path_to_module(path): tree for path, tree in trees("stylegan_tool").items()}
    needs = {module: set(imported(iter(tree.body))) & modules.keys() - {module} for module, tree in modules.items()}
    order = list(TopologicalSorter(needs).static_order())  # CycleError names those that do
    assert len(order) == len(modules)


def test_no_function_is_too_long() -> None:
    functions = [
        (path, node)
        for folder in CODE
        for path, tree in trees(folder).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    too_long = {
        f"{path}: {node.name}" for path, node in functions if (node.end_lineno or 0) - node.lineno >= MOST_LINES
    }
    assert too_long == set()


def test_stylising_loads_no_torch() -> None:
    code = (
        "import sys, stylegan_tool.stylize, stylegan_tool.folder.making, stylegan_tool.film.convert, "
        "stylegan_tool.demo, stylegan_tool.diagnosis\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
