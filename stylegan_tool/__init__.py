"""Turn folders of pictures and whole videos into another style with CycleGAN (inference side, no torch).

    from stylegan_tool import load_model

    model = load_model(to="vangogh")

Errors apart, what stands in `__all__` is imported when it is first asked for: to import the package alone loads none of
the libraries that it works with.
"""

import importlib
import os
from typing import TYPE_CHECKING

from stylegan_tool.errors import (
    ComputeError,
    InputError,
    MissingError,
    ModelError,
    OutputError,
    PartialError,
    SgtError,
    UsageError,
)

if TYPE_CHECKING:
    from stylegan_tool.library import FilmError, FilmReport, FolderError, FolderReport, Result, StyleModel, load_model

__version__ = "0.1.0"

# ONNX Runtime since 1.29 tells Microsoft which models are opened, and where and how long they run, unless this is said
# before it is loaded. Pictures, models and habits are nobody's business: it is said here, before anything can load it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "ComputeError",
    "FilmError",
    "FilmReport",
    "FolderError",
    "FolderReport",
    "InputError",
    "MissingError",
    "ModelError",
    "OutputError",
    "PartialError",
    "Result",
    "SgtError",
    "StyleModel",
    "UsageError",
    "__version__",
    "load_model",
]

if not TYPE_CHECKING:  # which would take every name for one that is there

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.library"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
