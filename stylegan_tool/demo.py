"""The demonstration: the bundled style over the example pictures and the clip, and a sheet to look at."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from stylegan_tool.demo_files import example_pictures, examples_folder
from stylegan_tool.errors import OutputError
from stylegan_tool.film.convert import convert_film
from stylegan_tool.film.look import read_film_info
from stylegan_tool.folder.manifest import FileState, Manifest, Record, abbreviate
from stylegan_tool.folder.plan import seen_from
from stylegan_tool.gallery.film_record import remember_film
from stylegan_tool.hashes import hash_file
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture
from stylegan_tool.made_with import describe_model, describe_pictures
from stylegan_tool.models import DEFAULT_STYLE
from stylegan_tool.opening import open_model
from stylegan_tool.options import Blend, FilmOptions, SteadyOption, TileOption
from stylegan_tool.pixels import Image
from stylegan_tool.progress import Progress, format_duration
from stylegan_tool.session import Session
from stylegan_tool.steady import choose_strength
from stylegan_tool.stylize import Stylizer
from stylegan_tool.whole_files import write_whole

RECORD = "demo.json"  # what the demo made, with hashes, so that it replaces that and nothing else
SHEET = "before_after.jpg"
FILM = "clip.mp4"
SHEET_GAP = 8  # pixels


def run_demo(out: Path, *, provider: str, say: Callable[[str], None]) -> None:
    """Stylise pictures and clip into `out`.

    Raises:
        OutputError: a file of that name is there which the demo did not make, or `out` cannot be made.
        InputError: this installation has no example pictures.
    """
    started = time.monotonic()
    pictures, clip = example_pictures(), examples_folder() / "clip.mp4"
    targets = [out / path.name for path in pictures]
    _check_ours([*targets, out / SHEET, out / FILM], out / RECORD)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {out}: {error.strerror or error}", hint="Name another: sgt demo FOLDER"
        ) from error
    session = open_model(DEFAULT_STYLE, direction="A2B", to=None, provider=provider, require_gpu=False, say=say)
    stylizer = Stylizer(session, TileOption("auto"), note=say)
    pairs = []
    with Progress("pictures", len(pictures), "pictures") as progress:
        for path, target in zip(pictures, targets, strict=True):
            picture = read_picture(path)
            stylized = replace(picture, image=stylizer(picture.image))
            write_picture(target, stylized, overwrite=True)
            _add_to_record(target, out / RECORD)
            _remember(out, path, target, picture.image, session)
            pairs.append((picture.image, stylized.image))
            progress.advance()
    write_picture(out / SHEET, Picture(make_sheet(pairs), None, None, None), overwrite=True)
    _add_to_record(out / SHEET, out / RECORD)
    with Progress("film", read_film_info(clip).frames, "frames") as progress:
        strength = choose_strength(SteadyOption("auto"))
        made = convert_film(clip, out / FILM, stylizer, steady=strength, overwrite=True, on_frame=progress.advance)
    _add_to_record(out / FILM, out / RECORD)
    remember_film(clip, out / FILM, made, session, FilmOptions(), strength)
    say(f"{len(pictures)} pictures and a film in {format_duration(time.monotonic() - started)} on {session.label}")
    say(f"Look at {out / SHEET}, and play {out / FILM}; one page with both: sgt gallery {out}")


def _remember(out: Path, source: Path, target: Path, image: Image, session: Session) -> None:
    """Note in the folder's manifest what `target` was made of, for `sgt gallery`."""
    means = describe_pictures(session, Blend(), "exact", "auto", None)
    height, width = image.shape[:2]
    states = (FileState.of(source), FileState.of(target))
    with Manifest(out) as manifest:
        record = Record(target.name, seen_from(out, source), abbreviate(means), *states, (width, height))
        manifest.add(record, means, describe_model(session))


def make_sheet(pairs: list[tuple[Image, Image]]) -> Image:
    """Return one picture, (H,W,3) uint8, with a row for each (before, after); narrower ones are centred."""
    rows = []
    for before, after in pairs:
        gap = np.full((before.shape[0], SHEET_GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([before, gap, after], axis=1))
    width = max(row.shape[1] for row in rows)
    padded = []
    for row in rows:
        spare = width - row.shape[1]
        sides = ((0, SHEET_GAP), (spare // 2, spare - spare // 2), (0, 0))
        padded.append(np.pad(row, sides, constant_values=255))
    return np.concatenate(padded)[:-SHEET_GAP]


def _check_ours(targets: list[Path], record: Path) -> None:
    made = _read_record(record)
    foreign = [
        path for path in targets if path.exists() and not (path.is_file() and made.get(path.name) == hash_file(path))
    ]
    if foreign:
        raise OutputError(
            f"{foreign[0]} was not made by the demo, or has been changed since",
            hint="Move it away, or name another folder: sgt demo FOLDER",
        )


def _read_record(record: Path) -> dict[str, str]:
    try:
        made = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return made if isinstance(made, dict) else {}


def _add_to_record(target: Path, record: Path) -> None:
    """Note `target` as ours, as soon as it is there: a demo that was stopped may be repeated too."""
    made = {**_read_record(record), target.name: hash_file(target)}
    write_whole(record, json.dumps(made, indent=2).encode() + b"\n", overwrite=True)
