"""Make a film out of a film: the whole way from one file to the other."""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from stylegan_tool.blend import compared_width
from stylegan_tool.errors import InputError, OutputError, typed, what_to_do
from stylegan_tool.film.encoding import choose_encoding
from stylegan_tool.film.facts import Facts
from stylegan_tool.film.file_errors import input_errors, target_errors
from stylegan_tool.film.joining import Joined, join
from stylegan_tool.film.look import Look, look_at
from stylegan_tool.film.making import (
    LEAST_FRAMES,
    MOST_FRAMES,
    Stylize,
    Together,
    Watch,
    make_segments,
)
from stylegan_tool.film.naming import container_of, is_sequence, list_sequence
from stylegan_tool.film.plan import Encoding, Window
from stylegan_tool.film.shots import FilmPlan
from stylegan_tool.film.store import SegmentStore, is_placing
from stylegan_tool.hashes import HASH_BYTES
from stylegan_tool.options import FilmOptions
from stylegan_tool.whole_files import check_reach

_SAMPLE = 2**20  # bytes, of which a source's fingerprint takes a few
_SAMPLES = 16


@dataclass(frozen=True)
class FilmReport:
    """What `convert_film` wrote.

    `repaired` counts frames that the decoder patched, frames that were lost and stand in the film as a
    repetition of the one before, unreadable places between packets, a missing end (1), and damaged places in the sound.
    `kept` frames come from an earlier run that was stopped.
    """

    frames: int
    repaired: int
    width: int
    height: int
    notes: tuple[str, ...]
    kept: int
    has_sound: bool


@dataclass(frozen=True)
class Start:
    """What is known when the work begins: frames in all (None: nobody knows) and those kept from an earlier run."""

    frames: int | None
    kept: int


class Elsewhere(Protocol):
    """What makes a film's segments on other machines."""

    def make(self, plan: FilmPlan, store: SegmentStore, on_frame: Callable[[], None]) -> None:
        """Make all segments in the store's folder; call `on_frame` once for each frame that is new."""


def _nothing(*_: object) -> None:
    """Stand in for a callback."""


def check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    """Refuse now what would otherwise be refused after hours of work.

    Raises:
        OutputError: the suffix is no container for film, the folder is missing or not writable, `target` is
            `source`, or it exists and `overwrite` is False.
    """
    container_of(target)
    check_reach(target)
    if _is_one(source, target):
        raise OutputError(f"{target} is the source itself", hint="Give the new film another name.")
    if is_sequence(target) and source.name == target.name and _is_one(source.parent, target.parent):
        raise OutputError(f"{target} is the source itself", hint="Name another folder for the pictures.")
    _check_place(target, overwrite=overwrite)


def _is_one(one: Path, other: Path) -> bool:
    """Whether both are there, and the same; what may not be looked at is told by who reads it."""
    with suppress(OSError):
        return one.samefile(other)
    return False


def _check_place(target: Path, *, overwrite: bool) -> None:
    """Raise OutputError if `target` may not be put where it is to go."""
    folder = target.parent
    if not folder.exists():
        raise OutputError(f"the folder {folder} does not exist", hint=f"Make it: mkdir -p {typed(folder)}")
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", hint="Name another place for the film.")
    if target.is_dir():
        raise OutputError(f"{target} is a folder", hint=f"Name a film in it: {typed(target / 'film.mp4')}")
    there = [target] if os.path.lexists(target) else []
    if not there and is_sequence(target):
        there = list(list_sequence(target).values())
    if there and not overwrite and not is_placing(target):
        raise OutputError(f"{there[0]} exists", hint="Add --overwrite to replace it, or give another name.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"you may not write in {folder}", hint=what_to_do(errno.EACCES, folder))


def convert_film(
    source: Path,
    target: Path,
    stylize: Stylize | Elsewhere,
    *,
    together: Together | None = None,
    options: FilmOptions | None = None,
    steady: float = 0.0,
    watch: Watch | None = None,
    made_with: Mapping[str, Any] | None = None,
    find_out: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    overwrite: bool = False,
    on_start: Callable[[Start], None] = _nothing,
    on_frame: Callable[[], None] = _nothing,
) -> FilmReport:
    """Write `source` to `target` with every picture passed through `stylize`.

    What `stylize` raises passes through unchanged. `target` appears whole or not at all. What was finished before an
    error or a stop is kept in a folder beside it, and the next call with the same arguments goes on from there.

    Args:
        stylize: takes and returns uint8 or uint16 (H,W,3) RGB of one size, frame by frame; called in one thread. Or
            what does so on other machines; then nothing is watched.
        together: does the same for several frames at once, and is then called instead.
        steady: strength from 0 to 1, see steady.py.
        watch: called for every frame with source, its stylised picture and the steady one.
        made_with: what `stylize` depends on, as JSON takes it; None: nothing is kept, since nobody could know whether
            the next call means the same.
        find_out: called once before the first frame, with what it returned for the call that began this film, or
            nothing: for what is decided when work begins and has to stay.
        on_start, on_frame: called before the first frame, and once for every frame.

    Raises:
        InputError: no film, nothing in it can be decoded, or its colours are of a kind that is not supported.
        OutputError: `target` is refused (see `check_target`), cannot hold this film, or writing fails.
        ValueError: `stylize` returned something of another size or type.
    """
    check_target(source, target, overwrite=overwrite)
    options = options or FilmOptions()
    look = look_at(source, options.sequence_rate)
    window = plan_window(look, options, source)
    encoding, notes = plan_encoding(look, options, target)
    plan = FilmPlan(source, look, window, encoding, options.sequence_rate, steady, options.blend)
    job = describe_job(source, options, encoding, steady, made_with)
    with SegmentStore(target, job, afresh=overwrite or made_with is None) as store:
        store.begin(find_out(store.found) if find_out is not None else {})
        kept = sum(store.numbers().values())
        on_start(Start(_count_frames(look, window), kept))
        try:
            _make_all(plan, store, stylize, together, watch, on_frame)
            if not store.kept:
                raise _no_frames(source, options)
            joined = finish_film(source, target, store, encoding, window, overwrite=overwrite)
        except BaseException:
            if made_with is None:
                store.remove()
            raise
        report = _report(plan, store, replace(joined, notes=(*look.notes, *notes, *joined.notes)), kept=kept)
        store.remove()
    return report


def _make_all(
    plan: FilmPlan,
    store: SegmentStore,
    stylize: Stylize | Elsewhere,
    together: Together | None,
    watch: Watch | None,
    on_frame: Callable[[], None],
) -> None:
    """Make all segments that the store still lacks, here or elsewhere."""
    if callable(stylize):
        making = plan.making(together or Together.one_by_one(stylize), watch)
        for _ in make_segments(plan.open_reader, store, making, on_frame):
            pass
    else:
        stylize.make(plan, store, on_frame)
        store.load()


def _report(plan: FilmPlan, store: SegmentStore, joined: Joined, *, kept: int) -> FilmReport:
    damage = sum(one.damage for one in store.kept)
    return FilmReport(
        frames=sum(len(one.segment.pts) for one in store.kept),
        repaired=damage + joined.damage,
        width=plan.encoding.padded_width,
        height=plan.encoding.padded_height,
        notes=(*joined.notes, *([f"damaged places in {plan.source.name}: {damage}"] if damage else ())),
        kept=kept,
        has_sound=joined.has_sound,
    )


def finish_film(
    source: Path, target: Path, store: SegmentStore, encoding: Encoding, window: Window, *, overwrite: bool
) -> Joined:
    """Join what is in the store into `target`; its notes are those of all segments, too.

    Raises:
        InputError, OutputError: see film/joining.py; or `target` has come into being meanwhile.
    """
    sequence = is_sequence(source)
    numbers = next(iter(list_sequence(source)), 1) if sequence else 1
    with part_file(target, store, overwrite=overwrite) as part:
        joined = join(
            [one.segment for one in store.kept],
            None if sequence else source,
            part,
            target=target,
            encoding=encoding,
            window=window,
            last_duration=store.kept[-1].last_duration or max(1, round(1 / (encoding.frame_rate * encoding.time_base))),
            first_number=numbers,
        )
    seen: dict[str, None] = {}
    if is_sequence(target) and _has_uneven_times(store, encoding):
        seen["its frames are shown for different times, which numbered pictures cannot say: .mp4 can"] = None
    if is_sequence(target) and (more := list(list_sequence(target).values())[joined.frames :]):
        seen[
            f"{len(more)} older pictures lie there, too, from {more[0].name} on: delete them, or they become its end"
        ] = None
    for one in store.kept:
        seen |= dict.fromkeys(one.notes)
    return replace(joined, notes=(*seen, *joined.notes))


def _has_uneven_times(store: SegmentStore, encoding: Encoding) -> bool:
    """Whether frames are shown for times that differ by more than rounding."""
    pts = [at for one in store.kept for at in one.segment.pts]
    gaps = [after - before for before, after in pairwise(pts)]
    tick = max(1, round(Fraction(1, 1000) / encoding.time_base))
    return bool(gaps) and max(gaps) - min(gaps) > 2 * tick


def plan_window(look: Look, options: FilmOptions, source: Path) -> Window:
    """Return what of the source is wanted.

    Raises:
        InputError: it ends before the start asked for.
    """
    start_s, end_s, length_s = options.start_s, options.end_s, look.info.duration_s
    if options.preview_s is not None:
        if start_s is None and length_s is not None:
            start_s = max(Fraction(0), Fraction(length_s).limit_denominator(1000) / 2 - options.preview_s / 2)
        end_s = (start_s or 0) + options.preview_s
    if start_s is not None and length_s is not None and start_s >= length_s:
        raise InputError(
            f"{source} ends at {length_s:.2f} s, before {float(start_s):g} s",
            hint="Choose an earlier start, such as --start 0",
        )
    first = max(Fraction(0), look.begin_s)
    start_s = first + start_s if start_s else None
    end_s = first + end_s if end_s is not None else None
    return Window(start_s, end_s, start_s if start_s is not None else look.zero_s)


def plan_encoding(look: Look, options: FilmOptions, target: Path) -> tuple[Encoding, tuple[str, ...]]:
    """Return how the film is encoded, and what is to be said of it; see `choose_encoding`."""
    facts: Facts = replace(look.facts, width=compared_width(look.facts.width, options.blend))
    return choose_encoding(facts, target, codec=options.codec, quality=options.quality, hardware=options.hardware)


def describe_job(
    source: Path, options: FilmOptions, encoding: Encoding, steady: float, made_with: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what the film's frames depend on, as JSON takes it, under names for people."""
    return {
        "source": fingerprint(source),
        "start": str(options.start_s),
        "end": str(options.end_s),
        "preview": str(options.preview_s),
        "frame rate": str(options.sequence_rate),
        "steady": steady,
        "strength, colour, comparison": asdict(options.blend),
        "encoding": {key: str(value) for key, value in asdict(encoding).items()},
        "segments": [LEAST_FRAMES, MOST_FRAMES],
        **(made_with if made_with is not None else {"made with": uuid.uuid4().hex}),
    }


def fingerprint(source: Path) -> str:
    """Return what tells one source from another: its size, and a hash of pieces from its beginning to its end.

    Of numbered pictures: of their numbers, sizes and times of change.

    Raises:
        InputError: it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    with input_errors(source):
        if is_sequence(source):
            for number, path in list_sequence(source).items():  # sizes of unpacked pictures are all the same
                about = path.stat()
                digest.update(f"{number} {about.st_size} {about.st_mtime_ns}\n".encode())
            return digest.hexdigest()
        size = source.stat().st_size
        digest.update(str(size).encode())
        with source.open("rb") as file:
            for place in range(_SAMPLES):
                file.seek(max(0, size - _SAMPLE) * place // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def _count_frames(look: Look, window: Window) -> int | None:
    """Return about how many frames the window holds; None if nobody knows."""
    info = look.info
    if window.end_s is None and window.start_s is None:
        return info.frames
    first = look.zero_s + look.start_s
    start_s = max(window.start_s or first, first)
    ends = [window.end_s, first + Fraction(info.duration_s) if info.duration_s is not None else None]
    known = [end for end in ends if end is not None]
    return max(1, round((min(known) - start_s) * info.frame_rate)) if known else None


def _no_frames(source: Path, options: FilmOptions) -> InputError:
    if options.start_s is not None or options.end_s is not None or options.preview_s is not None:
        return InputError(f"{source} has no frame in the time asked for", hint="Choose another --start or --end.")
    return InputError(
        f"no frame of {source} can be decoded", hint="Play it to see whether it is damaged; copy or download it again."
    )


@contextmanager
def part_file(target: Path, store: SegmentStore, *, overwrite: bool) -> Iterator[Path]:
    """Give a name in the store's folder to write to; what is there becomes `target` if all goes well.

    Of a sequence of pictures it is a pattern, too.
    """
    sequence = is_sequence(target)
    part = store.pictures / target.name if sequence else store.folder / f"whole{target.suffix}"
    try:
        if sequence:
            with target_errors(target):
                shutil.rmtree(store.pictures, ignore_errors=True)  # of a run that was killed, maybe of a longer film
                store.pictures.mkdir()
        yield part
        _check_place(target, overwrite=overwrite)  # hours may have passed
        with target_errors(target):
            store.mark_placing(0 if sequence else part.stat().st_size)
            if sequence:
                for picture in sorted(store.pictures.iterdir()):
                    picture.replace(target.parent / picture.name)
            else:
                part.replace(target)
    finally:
        with suppress(OSError):
            if not sequence:
                part.unlink(missing_ok=True)
