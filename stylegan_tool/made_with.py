"""What decides how results look, for the records that say which of them are up to date.

A folder's manifest and a film's store keep it beside what was made; where it differs, the work is done anew.
"""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stylegan_tool import __version__
from stylegan_tool.opening import hash_model
from stylegan_tool.options import Blend
from stylegan_tool.ort_engine import runtime_versions
from stylegan_tool.providers import OPENVINO
from stylegan_tool.session import Session


def describe_pictures(session: Session, blend: Blend, tile_stats: str, tile: str, memory: str | None) -> dict[str, Any]:
    """Return it for pictures. Where the model runs, and in which tiles, does not matter: they are exact."""
    tiles = [tile_stats] if tile_stats == "exact" else [tile_stats, tile, memory]
    engine = {"engine": session.label} if session.provider == OPENVINO else {}  # bfloat16: another picture
    return {**engine, "model": hash_model(session), "style": session.info.style, **asdict(blend), "tiles": tiles}


def describe_model(session: Session) -> dict[str, str]:
    """Return what people call a model: its file with its folder, its style, direction and domains.

    Decides nothing: a model that was renamed makes the same pictures.
    """
    info, path = session.info, Path(session.path)
    names = {"model": "/".join(path.parts[-2:]), "style": info.style, "direction": info.direction}
    return {**names, "source": info.source, "target": info.target}


def describe_film(
    session: Session, inputs: Sequence[str] | None, tile_stats: str, tile: str, memory: str | None
) -> dict[str, Any]:
    """Return it for a film, whose segments of before and after a stop must fit to the last bit.

    Other versions of what computes them round otherwise.
    """
    libraries = {name: version(name) for name in ("av", "numpy", "opencv-python-headless")}
    return {
        "model": hash_model(session),
        "taken as": session.reading,
        "provider": session.label,
        "versions": {"sgt": __version__, **libraries, **runtime_versions()},
        "inputs": inputs,
        "tiles": [tile, tile_stats],
        "memory": memory,
    }
