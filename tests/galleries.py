"""Folders of results made on the spot: flat pictures and films, recorded as `sgt images` and `sgt video` would."""

from fractions import Fraction
from pathlib import Path

from PIL import Image as PilImage

from stylegan_tool.film.convert import fingerprint
from stylegan_tool.folder.manifest import FileState, Manifest, Record, abbreviate
from stylegan_tool.folder.plan import seen_from

RED, BLUE, GREEN = (220, 30, 30), (30, 30, 220), (30, 160, 30)
A2B = {"model": "red/A2B.onnx", "style": "photo2red", "direction": "A2B", "source": "photo", "target": "red"}
TO_GREEN = {"model": "green/A2B.onnx", "style": "", "direction": "A2B", "source": "photo", "target": "green"}


def write_flat(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (300, 200)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PilImage.new("RGB", size, colour).save(path)
    return path


def record_picture(
    folder: Path, output: str, source: Path, about: dict[str, str] | None = None, **means: object
) -> None:
    """Put into the folder's manifest what `sgt images` would."""
    told = {"model": "0123456789abcdef", "strength": 1.0, "compare": None, "tiles": ["exact"], **(about or {}), **means}
    with PilImage.open(folder / output) as opened:
        size = opened.size
    states = (FileState.of(source), FileState.of(folder / output))
    with Manifest(folder) as manifest:
        record = Record(output, seen_from(folder, source), abbreviate(told), *states, size)
        manifest.add(record, told, about or A2B)


def record_film(target: Path, source: Path, **window: Fraction) -> None:
    """Put into the folder's manifest what `sgt video` would."""

    def state(path: Path) -> FileState:
        return FileState(path.stat().st_size, path.stat().st_mtime_ns, fingerprint(path))

    told = {"model": "0123456789abcdef", "window": {name: str(value) for name, value in window.items()}}
    with Manifest(target.parent, "films") as manifest:
        seen = seen_from(target.parent, source)
        manifest.add(Record(target.name, seen, abbreviate(told), state(source), state(target), (64, 48)), told, A2B)


def make_results(tmp_path: Path) -> Path:
    """A folder of two red results of blue sources, the first one with a green result of another model, too."""
    out = tmp_path / "painted"
    for name in ("one.png", "two.png"):
        source = write_flat(tmp_path / "photos" / name, BLUE)
        write_flat(out / name, RED)
        record_picture(out, name, source)
    write_flat(out / "green" / "one.png", GREEN)
    record_picture(out / "green", "one.png", tmp_path / "photos/one.png", TO_GREEN)
    return out
