"""The user's own models: one folder of the system's choice, in it a folder for each model, in that .onnx files.

A model's files are A2B.onnx and B2A.onnx (or one of them), or model.onnx where no direction is known. What a file
says of itself travels inside it (see model_info.py), so that nothing else has to be kept.
"""

import os
import re
import shutil
from pathlib import Path

import platformdirs

from stylegan_tool.errors import ModelError, OutputError, UsageError, typed
from stylegan_tool.model_info import DIRECTIONS
from stylegan_tool.whole_files import write_whole

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FILE_NAMES = (*(f"{direction}.onnx" for direction in DIRECTIONS), "model.onnx")


def models_folder() -> Path:
    """Return where installed models lie: $SGT_MODELS, else the user's data folder. It need not exist."""
    chosen = os.environ.get("SGT_MODELS")
    return Path(chosen) if chosen else platformdirs.user_data_path("stylegan-tool", appauthor=False) / "models"


def model_files(folder: Path) -> list[Path]:
    """Return the generators in `folder`: of each direction, or the one of no known direction."""
    return [path for name in FILE_NAMES if (path := folder / name).is_file()]


def installed_models() -> dict[str, Path]:
    """Return the installed models: name -> folder, sorted."""
    folder = models_folder()
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.name: path for path in found if not path.name.startswith(".") and model_files(path)}


def check_free(name: str, directions: list[str], *, overwrite: bool) -> None:
    """Find out before the work whether `install_model` will take what comes.

    Args:
        directions: A2B, B2A or '' (not known).

    Raises:
        UsageError: `name` cannot be a folder's name.
        OutputError: it is there already, and not to be overwritten.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"'{name}' cannot be a model's name", hint="Use letters, digits, '-', '_' and '.': --name my-style"
        )
    for direction in directions:
        path = models_folder() / name / _file_name(direction)
        if path.exists() and not overwrite:
            raise OutputError(
                f"there is a model of that name already: {path}",
                hint=f"Replace it with --overwrite, give another --name, or delete it: sgt models remove {name}",
            )


def install_model(name: str, direction: str, content: bytes, *, overwrite: bool = False) -> Path:
    """Write one generator of model `name`, whole or not at all, and return its path.

    Args:
        direction: A2B, B2A or '' (not known).
        content: an .onnx that says of itself what a ModelInfo holds.

    Raises:
        UsageError, OutputError: see `check_free`; or it cannot be written.
    """
    check_free(name, [direction], overwrite=overwrite)
    path = models_folder() / name / _file_name(direction)
    try:
        write_whole(path, content, overwrite=overwrite)
    except OutputError as error:
        raise OutputError(
            error.what, hint="Free some disk space, or choose another folder: SGT_MODELS=FOLDER sgt ..."
        ) from error
    return path


def remove_model(name: str) -> Path:
    """Delete the installed model `name` and return the folder that it was in.

    Raises:
        ModelError: there is none of that name.
        OutputError: it cannot be deleted.
    """
    folder = installed_models().get(name)
    if folder is None:
        known = ", ".join(installed_models()) or "none"
        raise ModelError(
            f"no installed model {name} in {models_folder()}",
            hint=f"Installed are: {known}. `sgt models list` shows them, and those that cannot be removed.",
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise OutputError(
            f"cannot delete {folder}: {error.strerror or error}", hint=f"See who may: ls -ld {typed(folder)}"
        ) from error
    return folder


def _file_name(direction: str) -> str:
    return f"{direction or 'model'}.onnx"
