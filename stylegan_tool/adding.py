"""Somebody else's .onnx, or a run, becomes an installed model: what must be known of it is written into the copy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stylegan_tool import __version__
from stylegan_tool.adapt import describe_in_file
from stylegan_tool.errors import UsageError
from stylegan_tool.installed import check_free, install_model
from stylegan_tool.interface import Stated
from stylegan_tool.model_info import SCHEMA
from stylegan_tool.models import Model, load_models
from stylegan_tool.options import TileOption
from stylegan_tool.session import Session, input_value
from stylegan_tool.stylize import Stylizer

_TRIED_SIDE = 64  # pixels of the picture that a model must stylise before it is kept


@dataclass(frozen=True)
class Added:
    """One file that was installed; `reading` is how it takes pictures, empty for our own."""

    path: Path
    reading: str


def add_model(
    source: str,
    name: str,
    stated: Stated,
    inputs: Mapping[str, str],
    *,
    domains: tuple[str, str] | None = None,
    overwrite: bool,
) -> list[Added]:
    """Install what `source` means (a file, a folder, a run) as model `name`.

    Nothing is kept that has not stylised a picture.

    Args:
        stated: how it takes pictures, as far as it is known; for somebody else's model alone.
        inputs: values of further inputs, kept in the copy; as in `Session`.
        domains: what somebody else's model takes and makes, such as photo and anime.

    Raises:
        ModelError: it is no model, or what must be known of it is neither in its graph nor stated.
        UsageError, OutputError: see `check_free`.
    """
    models = load_models(source)
    directions = ["A2B" if domains else model.info.direction for model in models]
    check_free(name, directions, overwrite=overwrite)
    prepared = [_prepare(model, name, stated, inputs, domains) for model in models]
    return [
        Added(install_model(name, direction, content, overwrite=overwrite), reading)
        for direction, (content, reading) in zip(directions, prepared, strict=True)
    ]


def _prepare(
    model: Model, name: str, stated: Stated, inputs: Mapping[str, str], domains: tuple[str, str] | None
) -> tuple[bytes, str]:
    """Return the file to be kept and how it takes pictures."""
    ours = model.info.schema > 0 and not model.info.layout
    if ours and (stated != Stated() or inputs or domains):
        raise UsageError(
            f"{model.path} says itself how it takes pictures",
            hint="Leave --range, --layout, --order, --size-multiple, --input, --from and --to out.",
        )
    known = None if model.info.schema and stated == Stated() else stated
    session = Session(model.path, provider="cpu", inputs=inputs, stated=known)
    picture = np.random.default_rng(0).integers(0, 256, (_TRIED_SIDE, _TRIED_SIDE, 3), np.uint8)
    Stylizer(session, TileOption("auto"))(picture)
    if ours:
        return model.path.read_bytes(), ""
    info = replace(session.info, schema=SCHEMA, style=name, tool_version=__version__)
    if domains is not None:
        info = replace(info, direction="A2B", domain_a=domains[0], domain_b=domains[1])
    return describe_in_file(model.path, info, inputs, input_value), session.reading
