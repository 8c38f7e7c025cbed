"""Where the Inception weights of KID and FID are; nothing here fetches them, and nothing here needs torch.

The file is a pickle, which can do anything when it is loaded, so its SHA-256 is checked before it is used.
"""

import hashlib
import os
from pathlib import Path

from stylegan_tool.errors import InputError, MissingError, typed

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_SHA256 = "6726825d"  # its first digits, which its makers put into the name
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{WEIGHTS}"


def weights_place() -> Path:
    """Return where the weights are looked for: torch hub's folder, which TORCH_HOME moves."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints" / WEIGHTS


def find_weights(named: Path | None) -> Path:
    """Return the checked file: `named`, or the one at `weights_place`.

    Raises:
        MissingError: there is none.
        InputError: it cannot be read, or is another file.
    """
    path = named if named is not None else weights_place()
    if not path.is_file():
        raise MissingError(
            f"no Inception weights: {path}",
            hint=f"Download {URL} and put it there, or name it: --inception FILE",
        )
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}", hint=f"See who may read it: ls -l {typed(path)}"
        ) from error
    if not digest.startswith(WEIGHTS_SHA256):
        raise InputError(
            f"{path} is not {WEIGHTS}: its SHA-256 begins with {digest[:8]}, not {WEIGHTS_SHA256}",
            hint=f"Download it again: {URL}",
        )
    return path
