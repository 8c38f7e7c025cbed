"""What a folder of results holds to be shown: its manifests' pictures and films, each beside its source.

A manifest proves what a result was made of and how (folder/manifest.py); files that none knows, or that were changed
since, are not shown. Results of one source stand together, whatever models and folders below they are from; so does
the way back, where a result became a source. Names are as people see them; no path above the folder is shown.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

from stylegan_tool.errors import InputError, OutputError, UsageError, typed
from stylegan_tool.folder.manifest import STEM, SUFFIX, Manifest, Record
from stylegan_tool.gallery.film_record import FilmRecord, find_film, window_options
from stylegan_tool.image_files.naming import SUFFIXES
from stylegan_tool.options import FilmOptions

MOST_SHOWN = 200  # works on a page
COMPARED = "The result shows its source itself (--compare)."

Kind: TypeAlias = Literal["picture", "film"]
Settings: TypeAlias = tuple[tuple[str, str], ...]  # (what, how), in the order to be read


@dataclass(frozen=True)
class Shown:
    """A result.

    Attributes:
        name: under the folder, with '/'.
        way: 'photo → vangogh (A2B)', or as much of it as is known.
        window: what of the source a film shows.
    """

    path: Path
    name: str
    way: str
    settings: Settings
    window: FilmOptions = field(default_factory=FilmOptions)


@dataclass(frozen=True)
class Work:
    """A source with its results, to be laid over each other.

    Attributes:
        name: the source's.
        source: None where it cannot be shown; `note` says why.
    """

    kind: Kind
    name: str
    source: Path | None
    results: tuple[Shown, ...]
    note: str = ""


@dataclass(frozen=True)
class Collection:
    """All that a folder has to show.

    Attributes:
        left_out: how many works there are beside these.
        changed: results that are not as they were made, and not shown.
    """

    title: str
    works: tuple[Work, ...]
    left_out: int = 0
    changed: int = 0


def collect(folder: Path, most: int = MOST_SHOWN) -> Collection:
    """Return what is in `folder` and below; of more than `most` works, so many, evenly taken.

    Raises:
        InputError: it cannot be read, or there is nothing.
    """
    works: list[Work] = []
    changed = 0
    for place in _find_places(folder):
        found, lost = _read_place(place, folder)
        works += found
        changed += lost
    if not works:
        lost_too = f" ({changed} were changed since they were made)" if changed else ""
        # Results that were changed are no photos; photos are to stay without results among them.
        holds_photos = not changed and any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())
        places = f"{typed(folder)} painted" if holds_photos else f"photos/ {typed(folder)}"
        raise InputError(
            f"no results of sgt images or sgt video in {folder}{lost_too}",
            hint=f"Make some: sgt images {places} --to vangogh --gallery",
        )
    together = _bring_together(works)
    shown = together if len(together) <= most else [together[i * len(together) // most] for i in range(most)]
    return Collection(folder.absolute().name, tuple(shown), len(together) - len(shown), changed)


def _find_places(folder: Path) -> list[Path]:
    """Return `folder` and those below that hold a manifest; nothing hidden is searched, and no link followed."""

    def refuse(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise InputError(
                f"cannot list {folder}: {error.strerror}", hint="Give a folder that you have the right to read."
            ) from error

    places = []
    for current, below, names in os.walk(folder, onerror=refuse):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if any(name.startswith(STEM) and name.endswith(SUFFIX) for name in names):
            places.append(Path(current))
    return places


def _read_place(place: Path, folder: Path) -> tuple[list[Work], int]:
    """Return the works of one manifest, each of one result, and how many results were changed."""
    try:
        manifest = Manifest(place)
    except OutputError as error:  # here it is input
        raise InputError(error.what, hint="Give a folder that you have the right to read.") from error
    works, changed = [], 0
    for output in manifest.outputs():
        path = place / output
        newest = manifest.newest(output)
        if newest is None:
            continue
        is_film = _is_film(manifest, newest)
        film = find_film(manifest, newest) if is_film else None
        record = None if is_film else manifest.find(output, path)
        try:
            if film is not None:
                works.append(_film_work(film, newest, folder))
            elif record is not None:
                works.append(_picture_work(manifest, record, folder))
            else:
                changed += os.path.lexists(path)
        except (ValueError, TypeError, AttributeError, ArithmeticError, UsageError):
            changed += 1  # its meaning is of somebody else's hand
    return works, changed


def _is_film(manifest: Manifest, record: Record) -> bool:
    return "window" in manifest.explain(record.made_with)


def _picture_work(manifest: Manifest, record: Record, folder: Path) -> Work:
    path, means = manifest.folder / record.output, manifest.explain(record.made_with)
    source = _normal(manifest.folder / record.input)
    shown = Shown(path, _name_below(path, folder), describe_way(means), describe_settings(means, record))
    return _hold_against(Work("picture", source.name, source, (shown,)), record, means)


def _hold_against(work: Work, record: Record, means: Mapping[str, Any]) -> Work:
    """Return `work` without its source where that would not lie under the result."""
    assert work.source is not None
    if means.get("compare"):
        return replace(work, source=None, note=COMPARED)
    if not work.source.is_file():
        return replace(work, source=None, note="The source is no longer where it was.")
    if record.input_file.renewed(work.source) is None:
        return replace(work, source=None, note="The source was changed since.")
    return work


def _film_work(film: FilmRecord, record: Record, folder: Path) -> Work:
    shown = Shown(
        film.path,
        _name_below(film.path, folder),
        describe_way(film.means),
        describe_settings(film.means, record),
        window_options(film.means),
    )
    if film.means.get("compare"):
        return Work("film", film.source_name, None, (shown,), COMPARED)
    if film.source is None:
        return Work("film", film.source_name, None, (shown,), "The source is no longer there as it was.")
    return Work("film", film.source_name, _normal(film.source), (shown,))


def _normal(path: Path) -> Path:
    # As plan.seen_from made it: '..' goes back by name, also where a link leads elsewhere.
    return Path(os.path.normpath(path.absolute()))


def _name_below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _bring_together(works: list[Work]) -> list[Work]:
    """Return the works with all results of one source in one, in the order of the first of each."""
    made_of = {_normal(work.results[0].path): work.source for work in works if work.source is not None}
    groups: dict[object, list[Work]] = {}
    for work in works:
        root = _first_source(work.source, made_of)
        window = work.results[0].window
        groups.setdefault((root, window) if root is not None else id(work), []).append(replace(work, source=root))
    together = []
    for group in groups.values():
        first = group[0]
        name = first.name if first.source is None else first.source.name
        results = tuple(shown for work in group for shown in work.results)
        together.append(replace(first, name=name, results=results))
    return together


def _first_source(source: Path | None, made_of: Mapping[Path, Path]) -> Path | None:
    """Return what the source was itself made of, as far back as is known."""
    seen: set[Path] = set()
    while source is not None and source in made_of and source not in seen:
        seen.add(source)
        source = made_of[source]
    return source


def describe_way(means: Mapping[str, Any]) -> str:
    """Return 'photo → vangogh (A2B)', or what else is known of the model."""
    about = means.get("about", {})
    source, target, direction = (str(about.get(name, "")) for name in ("source", "target", "direction"))
    if source and target:
        return f"{source} → {target} ({direction})"
    return str(about.get("style") or means.get("style") or about.get("model") or "result")


def _window(means: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what of the source became the film, but for its frame rate."""
    return [(name, value) for name, value in means.get("window", {}).items() if name != "rate"]


def describe_settings(means: Mapping[str, Any], record: Record | None = None) -> Settings:
    """Return model, options, size and day of a result for people; most of what was left at its default is not told."""
    about = means.get("about", {})
    pairs = [
        ("Model", str(about.get("model", ""))),
        ("Style", str(about.get("style") or means.get("style") or "")),
        ("Fingerprint", str(means.get("model", ""))[:12]),
        ("Strength", "" if means.get("strength") in (None, 1.0) else f"{100 * float(means['strength']):g} %"),
        ("Colour", "kept from the source" if means.get("keep_colour") else ""),
        ("Compared", str(means.get("compare") or "")),
        ("Steadiness", f"{float(means['steady']):g}" if "steady" in means else ""),
        ("Tiles", " ".join(str(one) for one in means.get("tiles", ()) if one and one != "exact")),
        ("Part", ", ".join(f"{name} {float(Fraction(value)):g} s" for name, value in _window(means))),
        ("Engine", str(means.get("engine", ""))),
    ]
    if record is not None:
        made = datetime.fromtimestamp(record.output_file.mtime_ns / 1e9).astimezone()
        pairs += [("Size", f"{record.size[0]} × {record.size[1]}"), ("Made", f"{made:%Y-%m-%d %H:%M}")]
    return tuple((what, how) for what, how in pairs if how)
