"""Checkpoints (the generators, what is exported) and training states (all that resumes), on disk.

Both are written beside their place and renamed when whole, and read without executing pickle code, their
checksums compared.
"""

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from stylegan_tool.errors import InputError, ModelError, first_line
from stylegan_train.config import TrainConfig
from stylegan_train.networks import Generator


def write_atomically(content: Any, path: Path, *, keep_old: Path | None = None) -> None:
    """torch.save `content` to `path`; the old file stays until the new one is whole on the disk.

    Then it becomes `keep_old`, if that is given: at any moment one of the two is there, and whole.

    Raises:
        OSError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if keep_old is not None and path.exists():
            path.replace(keep_old)
        part.replace(path)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # a full disk, which torch's writer hides behind its own checks
            raise error.__context__ from None
        raise
    finally:
        part.unlink(missing_ok=True)


def read_plain(path: Path) -> dict[str, Any]:
    """Load a dict of tensors and plain values.

    Raises:
        InputError: the file is missing, damaged or would need pickle code.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch's own reader does not look at the checksums
            if broken := archive.testzip():
                raise ValueError(f"its part {broken} is damaged")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__}")
    except Exception as error:  # damaged pickles fail in every way that a program can
        raise InputError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or first_line(error)}",
            hint="Name a run folder that `sgt train` made and that has finished its first epoch.",
        ) from error
    return content


def build_generator(config: TrainConfig) -> Generator:
    """Return a generator as `config` describes it, with weights not yet drawn."""
    return Generator(config.ngf, config.n_blocks, antialias=config.antialias, clamp=config.clamp)


def load_generator(state: dict[str, Any], config: TrainConfig) -> Generator:
    """Return a generator in eval mode with the weights of `state`.

    Raises:
        ModelError: the weights are another network's.
    """
    generator = build_generator(config)
    try:
        generator.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"the checkpoint does not fit a generator of {config.ngf} filters and {config.n_blocks} blocks",
            hint="Its run's config.json is another run's or was changed: put the right one back, or name another run.",
        ) from error
    return generator.eval()
