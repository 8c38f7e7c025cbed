"""Who may import whom: export -> train -> stylegan_tool, and no torch where models are run."""

import ast
import subprocess
import sys

import pytest

from tests.models import REPOSITORY

ROOMS = {
    "stylegan_tool": REPOSITORY / "stylegan_tool",
    "stylegan_train": REPOSITORY / "train" / "stylegan_train",
    "stylegan_export": REPOSITORY / "export" / "stylegan_export",
}
BANNED = {
    "stylegan_tool": {"torch", "onnxscript", "stylegan_train", "stylegan_export"},
    "stylegan_train": {"stylegan_export"},
    "stylegan_export": set(),
}
ONLY_IN = {
    "onnxruntime": {"session.py"},
    "onnx": {
        "adapt.py",
        "anatomy.py",
        "interface.py",
        "norm_fusion.py",
        "normstats.py",
        "operators.py",
        "pixel_graph.py",
    },
    "openvino": {"openvino_engine.py"},
    "av": {path.name for path in (REPOSITORY / "stylegan_tool" / "film").glob("*.py")}
    - {
        "__init__.py",
        "convert.py",
        "making.py",
        "plan.py",
        "record.py",
        "shots.py",
        "store.py",
    },
    "ray": {"connection.py"},
    "rich": {"progress.py"},
}


def _imports(room: str) -> list[tuple[str, str]]:
    """Every (file name, imported top-level package) of a room, wherever in the file the import stands."""
    found = []
    for path in sorted(ROOMS[room].rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [(path.name, alias.name.partition(".")[0]) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                found.append((path.name, node.module.partition(".")[0]))
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    imports = _imports(room)
    assert len(imports) > 10
    assert [(file, name) for file, name in imports if name in BANNED[room]] == []


@pytest.mark.parametrize(("package", "files"), ONLY_IN.items())
def test_these_files_alone_know_it(package: str, files: set[str]) -> None:
    users = {name for name, imported in _imports("stylegan_tool") if imported == package}
    assert users == files


def test_stylising_loads_no_torch() -> None:
    code = (
        "import sys, stylegan_tool.stylize, stylegan_tool.folder.making, stylegan_tool.film.convert, "
        "stylegan_tool.demo, stylegan_tool.diagnosis\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
