"""The metadata_props of an .onnx, read past its network: for Tab, which cannot wait for the onnx library.

An .onnx is a protobuf message: fields one after the other, each a tag (number * 8 + wire type) and a value. Lengths are
in bytes.
"""

import io
import os
from pathlib import Path
from typing import BinaryIO

from stylegan_tool.errors import ModelError

_METADATA_PROPS = 14  # of ModelProto
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED_64: 8, _FIXED_32: 4}


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata_props of the model at `path`; the network itself is neither read nor checked.

    Raises:
        ModelError: it cannot be read, or is no such file.
    """
    try:
        with path.open("rb") as file:
            entries = [
                _read_fields(io.BytesIO(entry), {_KEY, _VALUE}) for _, entry in _read_fields(file, {_METADATA_PROPS})
            ]
        pairs = [{number: text.decode() for number, text in entry} for entry in entries]
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}", hint="Export or download it again.") from error
    return {pair.get(_KEY, ""): pair.get(_VALUE, "") for pair in pairs}


def _read_fields(file: BinaryIO, wanted: set[int]) -> list[tuple[int, bytes]]:
    """Return the number and content of those fields of the message that fills `file`; ValueError if it is none."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    found = []
    while file.tell() < end:
        number, wire_type = divmod(_read_varint(file), 8)
        if wire_type == _VARINT:
            _read_varint(file)
            continue
        length = _read_varint(file) if wire_type == _BYTES else _FIXED_SIZES.get(wire_type)
        if length is None or length > end - file.tell():
            raise ValueError("it is no ONNX file, or not a whole one")
        if wire_type == _BYTES and number in wanted:
            found.append((number, file.read(length)))
        else:
            file.seek(length, os.SEEK_CUR)
    return found


def _read_varint(file: BinaryIO) -> int:
    """Read a whole number: 7 bits a byte, the lowest first; the top bit says that another byte follows."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("it is no ONNX file, or not a whole one")
