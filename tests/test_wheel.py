"""What the wheel holds, and that it stylises pictures where nothing but its base dependencies is installed.

The wheel is built without network by the installed hatchling. The empty environment is a folder of links to the
installed files of the base dependencies, with everything else out of sight; what pip makes of the wheel on a bare
machine is the workflow's to say (.github/workflows/ci.yml, job wheel).

Units: sizes in MB (10^6 bytes).
"""

import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from tests.models import REPOSITORY
from tests.wheels import build, contents

PACKAGES = {
    "stylegan_tool": REPOSITORY / "stylegan_tool",
    "stylegan_train": REPOSITORY / "train" / "stylegan_train",
    "stylegan_export": REPOSITORY / "export" / "stylegan_export",
}
LARGEST_WHEEL_MB = 20  # two styles are 15 of them


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    return build(REPOSITORY, "wheel", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return contents(wheel)


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    return Parser().parsestr(_read(wheel, "METADATA"))


def _read(wheel: Path, name: str) -> str:
    """The text of a file of the wheel's .dist-info."""
    with ZipFile(wheel) as files:
        (path,) = (one for one in files.namelist() if one.endswith(f".dist-info/{name}"))
        return files.read(path).decode()


def _files(folder: Path, pattern: str = "**/*") -> set[str]:
    found = {path for path in folder.glob(pattern) if path.is_file() and "__pycache__" not in path.parts}
    return {path.relative_to(folder).as_posix() for path in found}


def test_it_holds_the_packages_whole_with_the_examples_and_nothing_else(names: set[str]) -> None:
    expected = {f"{package}/{name}" for package, folder in PACKAGES.items() for name in _files(folder)}
    examples = _files(REPOSITORY / "examples", "pictures/*") | {"clip.mp4", "CREDITS.md"}
    assert names == expected | {f"stylegan_tool/examples/{name}" for name in examples}


def test_styles_recipes_and_types_are_among_them(names: set[str]) -> None:
    styles = {f"stylegan_tool/assets/{style}/{way}.onnx" for style in ("monet", "vangogh") for way in ("A2B", "B2A")}
    assert {name for name in names if name.endswith(".onnx")} == styles | {"stylegan_tool/assets/probe.onnx"}
    assert {"stylegan_tool/py.typed", "stylegan_train/recipes/photo2vangogh.toml"} <= names


def test_no_tests_tools_or_training_data_are_among_them(names: set[str]) -> None:
    parts = {part for name in names for part in Path(name).parts[:-1]}
    assert parts.isdisjoint({"tests", "bench", "docs", "datasets", "runs", "out", "paintings"})
    assert not {name for name in names if Path(name).suffix in {".pt", ".pth", ".safetensors", ".pyc"}}


def test_the_sdist_makes_the_same_wheel(names: set[str], tmp_path: Path) -> None:
    for folder in ("sdist", "wheel"):
        (tmp_path / folder).mkdir()
    with tarfile.open(build(REPOSITORY, "sdist", tmp_path / "sdist")) as files:
        files.extractall(tmp_path / "tree", filter="data")
    (tree,) = (tmp_path / "tree").iterdir()
    assert contents(build(tree, "wheel", tmp_path / "wheel")) == names
    for what_tests_need in ("Makefile", "constraints.txt", "tests/golden", "bench", "docs"):
        assert (tree / what_tests_need).exists()


def test_it_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size / 1e6 < LARGEST_WHEEL_MB


def test_what_it_says_of_itself(wheel: Path, metadata: Message) -> None:
    assert metadata["Name"] == "stylegan-tool"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    extras = {"train", "metrics", "openvino", "jxl", "ray", "gpu", "dev"}
    assert extras <= set(metadata.get_all("Provides-Extra", []))
    assert "sgt = stylegan_tool.__main__:entrypoint" in _read(wheel, "entry_points.txt").splitlines()
    assert _read(wheel, "licenses/LICENSE") == (REPOSITORY / "LICENSE").read_text(encoding="utf-8")


def _with_what_they_need(requirements: Iterable[str]) -> set[str]:
    """The names of the distributions that these requirements bring here, without any extra."""
    found: set[str] = set()
    left = [Requirement(text) for text in requirements]
    while left:
        one = left.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(name)
            left += [Requirement(text) for text in distribution(name).requires or []]
    return found


@pytest.fixture(scope="module")
def empty_environment(wheel: Path, metadata: Message, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables under which `python -S` sees the wheel and its base dependencies alone."""
    site = tmp_path_factory.mktemp("site-packages")
    with ZipFile(wheel) as files:
        files.extractall(site)
    for name in _with_what_they_need(metadata.get_all("Requires-Dist", [])):
        installed = distribution(name)
        for top in {path.parts[0] for path in installed.files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():  # two distributions may share a folder
                (site / top).symlink_to(Path(str(installed.locate_file(top))).resolve())
    return {**os.environ, "PYTHONPATH": str(site)}


def _sgt(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-m", "stylegan_tool", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_base_dependencies_are_enough_for_pictures(empty_environment: dict[str, str], tmp_path: Path) -> None:
    picture = REPOSITORY / "examples" / "pictures" / "cat.jpg"
    done = _sgt(["images", str(picture), "cat.png", "--provider", "cpu"], tmp_path, empty_environment)
    assert done.returncode == 0, done.stderr
    assert "model vangogh (bundled), CPU" in done.stderr
    assert (tmp_path / "cat.png").is_file()


def test_base_dependencies_are_enough_for_films(empty_environment: dict[str, str], tmp_path: Path) -> None:
    clip = REPOSITORY / "examples" / "clip.mp4"
    window = ["--end", "0.1", "--provider", "cpu"]
    done = _sgt(["video", str(clip), "clip.mp4", *window], tmp_path, empty_environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clip.mp4").is_file()


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "photo2vangogh"], "train"),
        (["export", "--onnx"], "train"),
        (["images", "cat.jpg", "cat.png", "--provider", "openvino"], "openvino"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_an_extra_brings_is_named(
    arguments: list[str], extra: str, empty_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").symlink_to(REPOSITORY / "examples" / "pictures" / "cat.jpg")
    done = _sgt(arguments, tmp_path, empty_environment)
    assert done.returncode == 7
    assert f"pip install 'stylegan-tool[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
