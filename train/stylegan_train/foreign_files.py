"""Reads checkpoints of unknown origin: tensors and plain values only, never code.

A pickle is a program. What cannot be read without running it is refused, with the reason.
"""

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from stylegan_tool.errors import InputError, ModelError, typed

_CODE = re.compile(r"GLOBAL ([\w.]+)")


def read_foreign(path: Path) -> dict[str, Any]:
    """Return the nested dicts of tensors in the file at `path` (.pth, .pt, .ckpt, .safetensors), on the CPU.

    Raises:
        InputError: it is missing, empty, damaged, or no checkpoint at all.
        ModelError: it could be read only by running code that it holds.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(512)
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}", hint="Name a checkpoint file, such as latest_net_G_A.pth."
        ) from error
    _refuse_by_content(path, begin)
    try:
        if begin.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:  # torch's own reader does not look at the checksums
                if broken := archive.testzip():
                    raise ValueError(f"its part {broken} is damaged")
        if path.suffix == ".safetensors" or begin[8:9] == b"{":
            return dict(safetensors.torch.load_file(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which are none of the user's business
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files fail in every way that a program can
        raise _explain(path, begin, error) from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path} is no checkpoint: it holds a {type(content).__name__}",
            hint="Name a file of a network's weights, such as latest_net_G_A.pth.",
        )
    return content


def _refuse_by_content(path: Path, begin: bytes) -> None:
    if not begin:
        raise InputError(f"{path} is empty", hint="Download or copy it again.")
    if begin.lstrip()[:1] == b"<":
        raise InputError(
            f"{path} is a web page, and no checkpoint", hint="The download went wrong: fetch the file itself again."
        )
    if begin.startswith(b"version https://git-lfs"):
        raise InputError(
            f"{path} is only a pointer to the file", hint="Fetch what it points to, in its folder: git lfs pull"
        )
    if path.suffix == ".onnx":
        raise ModelError(
            f"{path} is an ONNX model, which needs no import",
            hint=f"Use it as it is (--model {typed(path)}), or keep it: sgt models add {typed(path)}",
        )


def _explain(path: Path, begin: bytes, error: Exception) -> InputError | ModelError:
    text = str(error)
    if "TorchScript" in text:
        return ModelError(
            f"{path} is a TorchScript archive, which is a program",
            hint="In the project that made it, save the weights alone: torch.save(network.state_dict(), FILE)",
        )
    is_pickle = begin.startswith((b"PK", b"\x80"))  # a zip with one inside, or a bare one
    if is_pickle and "Weights only load failed" in text:
        named = _CODE.search(text)
        what = f" (it asks for {named[1]})" if named is not None else ""
        return ModelError(
            f"{path} can be read only by running code that it holds{what}, which is never done",
            hint="If you trust it: load it in the project that made it, and save the weights alone: "
            "torch.save(network.state_dict(), FILE)",
        )
    reason = text.splitlines()[0] if is_pickle and text else f"{path.suffix or 'no'} file that torch cannot read"
    return InputError(f"{path} is damaged, or no checkpoint: {reason}", hint="Download or copy it again.")
