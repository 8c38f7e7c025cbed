"""Bad films, and bad places for `sgt video`."""

import os
import re
from pathlib import Path

import av.error

from stylegan_tool.folder.manifest import STEM, SUFFIX
from stylegan_tool.gallery.film_record import PART
from tests.faults import films, pictures
from tests.faults.damage import DAMAGE, Rng, ways_of
from tests.faults.judge import Case, Outcome
from tests.faults.places import SKIP_AS_ROOT, as_shown, odd_path, write_odd
from tests.models import make_info, write_blur_model

DONE, USAGE, INPUT, OUTPUT, PARTIAL = 0, 2, 3, 5, 6


def _case(
    rng: Rng, kind: str, source: Path, folder: Path, *codes: int, suffix: str = "", frames: int = 0, **fields: object
) -> Case:
    """A case of one film; what comes of it is out/film.mp4 or another container."""
    suffix = suffix or str(rng.choice([".mp4", ".mp4", ".mkv", ".mov"]))
    target = folder / "out" / f"film{suffix}"
    target.parent.mkdir()
    model = write_blur_model(folder / "A2B.onnx", 1, make_info("A2B", size_multiple=1, smallest_size=4))
    argv = ["video", "--model", str(model)]
    if rng.random() < 0.6:
        argv += ["--steady", "off"]
    if rng.random() < 0.15:
        argv += ["--preview", "0.3s"]
        frames = 0
    argv += ["--", str(source), str(target)]

    def check(outcome: Outcome) -> list[str]:
        return _whole_film(outcome, target, frames)

    values = {
        "named": as_shown(source.name),
        "done": frozenset({DONE, PARTIAL}),
        "check": check,
        "others": (target.parent / f"{STEM}-{PART}{SUFFIX}",),  # how the film was made
        **fields,
    }
    return Case(kind, tuple(argv), target, frozenset(codes), **values)  # type: ignore[arg-type]  # fields by name


def _whole_film(outcome: Outcome, target: Path, frames: int) -> list[str]:
    """All that is in it can be decoded, and is as much as was said; `frames` unless that was said to be less."""
    try:
        arrived = films.count_frames(target)
    except av.error.FFmpegError as error:
        return [f"what was made cannot be played: {error}"]
    said = re.search(r"(\d+) frames?\b.* of \d+x\d+", outcome.said)
    wrong = []
    if said is None or int(said[1]) != arrived:
        wrong.append(f"{arrived} frames arrived, and {said and said[0]} are said")
    if outcome.code == DONE and frames and arrived != frames:
        wrong.append(f"{arrived} of {frames} frames arrived, and nobody is told")
    return wrong


def damaged(rng: Rng, folder: Path, way: str) -> Case:
    """A good film, damaged in one `way`."""
    name = str(rng.choice(list(films.FORMATS)))
    source = folder / f"source{films.FORMATS[name][0]}"
    source.write_bytes(DAMAGE[way](rng, films.whole(name)))
    return _case(rng, f"{way} {name}", source, folder, DONE, INPUT, PARTIAL)


truncated, flipped, sectors = ways_of(damaged)


def stated_end(rng: Rng, folder: Path) -> Case:
    """Cut off where the header says how much there should be: then a loss must be told."""
    name = "vp9 webm" if rng.random() < 0.5 else "ffv1 mkv"
    source = folder / f"source{films.FORMATS[name][0]}"
    # What is missing is less than 0.5 s of a shorter one, and headers are not that exact.
    content = films.write_film(source, name, 4 * films.FRAMES).read_bytes()
    source.write_bytes(content[: int(rng.integers(len(content) // 10, len(content) // 3))])
    return _case(rng, f"a part of {name}", source, folder, INPUT, PARTIAL)


def good(rng: Rng, folder: Path) -> Case:
    """A good film, under its name or another's."""
    name = str(rng.choice(list(films.FORMATS)))
    suffix = str(rng.choice([films.FORMATS[name][0], ".mp4", ".mkv", ".jpg", ""]))
    source = folder / f"source{suffix}"
    source.write_bytes(films.whole(name))
    return _case(rng, f"{name} as {suffix or 'no suffix'}", source, folder, DONE, frames=films.FRAMES)


def odd_film(rng: Rng, folder: Path) -> Case:
    """As small, short or long to one side as can be."""
    size = [(1, 1), (2, 2), (1, 40), (41, 3), (48, 32), (600, 2)][int(rng.integers(6))]
    frames = int(rng.choice([1, 2, 3]))
    source = films.write_film(folder / "source.mov", "png mov", frames, size)  # FFV1 takes no single column
    suffix = str(rng.choice([".mp4", ".mkv", ".webm", ".gif", ".mov"]))
    kind = f"{frames} frames of {size[0]}x{size[1]} into {suffix}"
    return _case(rng, kind, source, folder, DONE, suffix=suffix, frames=frames)


def no_film(rng: Rng, folder: Path) -> Case:
    """Anything under a film's name."""
    contents = {
        "empty": b"",
        "text": b"just text\n" * 90,
        "noise": rng.bytes(9999),
        "picture": pictures.whole(str(rng.choice(["png", "jpeg", "webp", "bmp", "avif", "tiff"]))),
        "zeros": bytes(5000),
        "sound": films.sound_only(),
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n",
        "list of files": b"ffconcat version 1.0\nfile /etc/hostname\n",
        "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nHello\n",
    }
    kind = str(rng.choice(list(contents)))
    source = folder / f"source{rng.choice(['.mp4', '.mkv', '.avi', '.ts', '.gif', ''])}"
    source.write_bytes(contents[kind])
    return _case(rng, f"{kind} for a film", source, folder, INPUT)


def no_file(rng: Rng, folder: Path) -> Case:
    """Something that is no readable file where a film is expected."""
    kind, source = write_odd(rng, folder / "source.mp4")
    skip = SKIP_AS_ROOT if kind == "no rights" else ""
    return _case(rng, f"{kind} for a film", source, folder, INPUT, skip=skip)


def odd_name(rng: Rng, folder: Path) -> Case:
    """A good film under a name that people do not expect."""
    source = odd_path(rng, folder, ".mkv")
    source.write_bytes(films.whole("ffv1 mkv"))
    return _case(rng, "film of an odd name", source, folder, DONE, frames=films.FRAMES)


def numbered(rng: Rng, folder: Path) -> Case:
    """Numbered pictures, one of which is damaged, missing, empty or of another size."""
    frames = folder / "frames"
    frames.mkdir()
    for number in range(1, 8):
        (frames / f"{number:03d}.png").write_bytes(pictures.whole("png"))
    odd = frames / f"{int(rng.integers(1, 8)):03d}.png"
    kind = str(rng.choice(["missing", "empty", "damaged", "of another size", "a folder", "a pipe"]))
    odd.unlink()
    if kind == "empty":
        odd.write_bytes(b"")
    elif kind == "damaged":
        odd.write_bytes(DAMAGE["truncated"](rng, pictures.whole("png")))
    elif kind == "of another size":
        odd.write_bytes(pictures.sized(9, 70, "PNG"))
    elif kind == "a folder":
        odd.mkdir()
    elif kind == "a pipe":
        os.mkfifo(odd)
    codes = (DONE,) if kind == "of another size" else (DONE, INPUT, PARTIAL)
    source, there = frames / "%03d.png", len(list(frames.iterdir()))
    return _case(rng, f"numbered pictures, one is {kind}", source, folder, *codes, named="", frames=there)


def in_the_way(rng: Rng, folder: Path) -> Case:
    """Something lies where the film is to go, or its folder is missing."""
    source = folder / "source.mkv"
    source.write_bytes(films.whole("ffv1 mkv"))
    kind = str(rng.choice(["file", "folder", "pipe", "no folder", "folder of what is kept", "suffix"]))
    case = _case(rng, f"{kind} where the film goes", source, folder, OUTPUT)
    place = case.target
    if kind == "file":
        place.write_bytes(b"somebody's work")
    elif kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder of what is kept":
        Path(f"{place}.sgt").write_bytes(b"a file")
    elif kind == "no folder":
        place = place.parent / place.name / place.name
    else:
        place = place.with_suffix(".docx")
    argv = (*case.argv[:-1], str(place))
    return Case(case.kind, argv, folder / "nothing", frozenset({OUTPUT, USAGE}), place.name, frozenset())


def full_disk(rng: Rng, folder: Path) -> Case:
    """No room for the film, or for a part of it."""
    source = folder / "source.mkv"
    source.write_bytes(films.whole("ffv1 mkv"))
    size = int(rng.integers(1, 1500))
    return _case(rng, "full disk", source, folder, OUTPUT, suffix=".mkv", file_bytes=size, named="film.mkv")


FILM_KINDS = (
    truncated,
    flipped,
    good,
    flipped,
    no_film,
    truncated,
    sectors,
    no_file,
    odd_film,
    flipped,
    truncated,
    in_the_way,
    sectors,
    numbered,
    flipped,
    stated_end,
    odd_name,
    truncated,
    full_disk,
    flipped,
)
