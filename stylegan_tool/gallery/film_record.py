"""What the folder of a film remembers of how it was made, for whoever shows both side by side later.

A film has a record in the folder's manifest like a picture's (folder/manifest.py), in a file of its own,
`.sgt-manifest-films.jsonl`: output, input as seen from there, and what it was made with; where a hash stands there, it
is `convert.fingerprint`, which takes no hours for a film of many gigabytes. Nothing is skipped or redone by it.

Times are in seconds of the source, as exact fractions written as text.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from stylegan_tool.errors import InputError, OutputError
from stylegan_tool.film.convert import FilmReport, fingerprint
from stylegan_tool.folder.manifest import FileState, Manifest, Record, abbreviate
from stylegan_tool.folder.plan import seen_from
from stylegan_tool.made_with import describe_model
from stylegan_tool.opening import hash_model
from stylegan_tool.options import FilmOptions
from stylegan_tool.session import Session

PART = "films"


@dataclass(frozen=True)
class FilmRecord:
    """A film that is there, unmodified, and how it was made.

    Attributes:
        source: as it was then; None where it is gone, or another film by now.
        means: see `Manifest.explain`; its "window" is what `window_options` reads.
    """

    path: Path
    source: Path | None
    source_name: str
    means: dict[str, Any]


def remember_film(
    source: Path, target: Path, made: FilmReport, session: Session, options: FilmOptions, steady: float
) -> None:
    """Record how `target` was made; a film whose folder takes no record is as good without."""
    window = {
        "start": options.start_s,
        "end": options.end_s,
        "preview": options.preview_s,
        "rate": options.sequence_rate,
    }
    means = {
        "model": hash_model(session),
        **asdict(options.blend),
        "steady": steady,
        "window": {name: str(value) for name, value in window.items() if value is not None},
    }
    with suppress(OutputError, InputError, OSError), Manifest(target.parent, PART) as manifest:
        states = (_state_of(source), _state_of(target))
        size = (made.width, made.height)
        record = Record(target.name, seen_from(target.parent, source), abbreviate(means), *states, size)
        manifest.add(record, means, describe_model(session))


def find_film(manifest: Manifest, record: Record) -> FilmRecord | None:
    """Return what `record` says, if its film is still there and the same."""
    path = manifest.folder / record.output
    if not _is_same(path, record.output_file):
        return None
    source = Path(manifest.folder, record.input)
    there = source if _is_same(source, record.input_file) else None
    means = manifest.explain(record.made_with)
    return FilmRecord(path, there, source.name, means)


def window_options(means: dict[str, Any]) -> FilmOptions:
    """Return what of the source became the film."""
    window = {name: Fraction(value) for name, value in means.get("window", {}).items()}
    return FilmOptions(
        start_s=window.get("start"),
        end_s=window.get("end"),
        preview_s=window.get("preview"),
        sequence_rate=window.get("rate"),
    )


def _state_of(path: Path) -> FileState:
    digest = fingerprint(path)
    if not path.is_file():  # numbered pictures
        return FileState(0, 0, digest)
    stat = path.stat()
    return FileState(stat.st_size, stat.st_mtime_ns, digest)


def _is_same(path: Path, state: FileState) -> bool:
    with suppress(OSError, InputError):
        return (path.is_file() and state.is_untouched(path.stat())) or fingerprint(path) == state.hash
    return False
