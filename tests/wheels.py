"""Build distributions of a tree without network, and list what is in them."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile


def build(tree: Path, target: str, folder: Path) -> Path:
    """Build the wheel or sdist of a tree into an empty folder and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (path,) = folder.iterdir()
    return path


def contents(wheel: Path) -> set[str]:
    """The names of the files in a wheel, but for its own description."""
    with ZipFile(wheel) as files:
        return {name for name in files.namelist() if ".dist-info/" not in name}
