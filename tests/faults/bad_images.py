"""Bad pictures, bad names and bad places for `sgt images`."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np

from stylegan_tool.errors import SgtError
from stylegan_tool.folder.manifest import STEM, SUFFIX
from stylegan_tool.image_files.naming import output_name
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from tests.faults import pictures
from tests.faults.damage import DAMAGE, Rng, bits_flipped, ways_of
from tests.faults.judge import Case, Outcome
from tests.faults.places import SKIP_AS_ROOT, as_shown, odd_path, write_odd
from tests.models import make_info, write_blur_model

DONE, USAGE, INPUT, OUTPUT, PARTIAL = 0, 2, 3, 5, 6


def _model(folder: Path) -> Path:
    """The cheapest model: one convolution, whose results have its input's size."""
    return write_blur_model(folder / "A2B.onnx", 1, make_info("A2B", size_multiple=1, smallest_size=4))


def _case(kind: str, source: Path, folder: Path, *codes: int, **fields: object) -> Case:
    """A case of one picture; what comes of it lies in out/."""
    target = folder / "out" / output_name(Path(source.name))
    argv = ("images", "--model", str(_model(folder)), "--", str(source), str(target.parent))
    values = {"named": as_shown(source.name), "check": lambda outcome: whole_result(outcome, source, target), **fields}
    return Case(kind, argv, target, frozenset(codes), **values)  # type: ignore[arg-type]  # fields by name


def whole_result(_: Outcome, source: Path, target: Path) -> list[str]:
    """What there is can be decoded, and has its source's size."""
    try:
        given, made = read_picture(source), read_picture(target)
    except SgtError as error:
        return [f"exit code 0, and yet: {error}"]
    if given.image.shape != made.image.shape:
        return [f"{given.image.shape} became {made.image.shape}"]
    return []


def _same_picture(one: Picture, other: Picture) -> bool:
    return one.image.shape == other.image.shape and bool((one.image == other.image).all())


def damaged(rng: Rng, folder: Path, way: str) -> Case:
    """A good file of any format, damaged in one `way`."""
    name = str(rng.choice(sorted(pictures.FORMATS)))
    whole = folder / f"whole{pictures.FORMATS[name][0]}"
    whole.write_bytes(pictures.whole(name))
    source = folder / f"picture{whole.suffix}"
    source.write_bytes(DAMAGE[way](rng, whole.read_bytes()))

    def check(outcome: Outcome) -> list[str]:
        wrong = whole_result(outcome, source, folder / "out" / output_name(Path(source.name)))
        # What was cut off may be of no use; but then nothing of the picture may be missing.
        if way == "truncated" and not wrong and not _same_picture(read_picture(source), read_picture(whole)):
            wrong.append("a part of the picture is missing, and nobody is told")
        return wrong

    return _case(f"{way} {name}", source, folder, DONE, INPUT, check=check)


truncated, flipped, sectors = ways_of(damaged)


def chunks(rng: Rng, folder: Path) -> Case:
    """A PNG that lies with the right checksum."""
    name = str(rng.choice([one for one in sorted(pictures.FORMATS) if one.endswith(("png", "png with alpha"))]))
    png = bytearray(pictures.whole(name))
    starts, position = [], 8
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        starts.append((position, length))
        position += 12 + length
    start, length = starts[0] if rng.random() < 0.6 else starts[int(rng.integers(len(starts)))]
    inner = bits_flipped(rng, bytes(png[start + 4 : start + 8 + length]))
    png[start + 4 : start + 12 + length] = inner + struct.pack(">I", zlib.crc32(inner))
    source = folder / "picture.png"
    source.write_bytes(png)
    return _case(f"lying {name}", source, folder, DONE, INPUT)


def tags(rng: Rng, folder: Path) -> Case:
    """A TIFF with one tag of its directory changed."""
    name = str(rng.choice([one for one in sorted(pictures.FORMATS) if "tiff" in one and "big" not in one]))
    tiff = bytearray(pictures.whole(name))
    endian = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{endian}I", tiff, 4)
    (n_tags,) = struct.unpack_from(f"{endian}H", tiff, start)
    place = start + 2 + 12 * int(rng.integers(n_tags))
    tag, kind, count, value = struct.unpack_from(f"{endian}HHII", tiff, place)
    new = int(rng.choice([0, 1, 2, 3, 5, 7, 16, 64, 255, 65535, 2**31, 2**32 - 1, int(rng.integers(2**32))]))
    which = int(rng.integers(4))
    fields = [tag, kind, count, value]
    fields[which] = new % (2**16 if which < 2 else 2**32)
    struct.pack_into(f"{endian}HHII", tiff, place, *fields)
    source = folder / "picture.tif"
    source.write_bytes(tiff)
    return _case(f"lying {name}", source, folder, DONE, INPUT)


def empty(rng: Rng, folder: Path) -> Case:
    """A file of no bytes, or of very few."""
    source = folder / f"picture{rng.choice(['.jpg', '.png', '.tif', '.webp', '.gif', '.avif', '.jp2'])}"
    source.write_bytes(rng.bytes(int(rng.choice([0, 0, 1, 3, 8]))))
    return _case("empty file", source, folder, INPUT)


def no_picture(rng: Rng, folder: Path) -> Case:
    """Text or noise under a picture's name."""
    source = folder / f"picture{rng.choice(['.jpg', '.png', '.tif', '.webp', '.ppm', '.bmp'])}"
    content = [
        b"just text\n" * 40,
        b"<html><body>404</body></html>",
        b"%PDF-1.7 ...",
        b"8BPS" + bytes(40),
        rng.bytes(999),
    ]
    source.write_bytes(content[int(rng.integers(len(content)))])
    return _case("no picture at all", source, folder, INPUT)


def wrong_suffix(rng: Rng, folder: Path) -> Case:
    """A good picture under another format's name."""
    name = str(rng.choice([one for one in sorted(pictures.FORMATS) if one != "plain pgm"]))
    source = folder / f"picture{rng.choice(['.jpg', '.png', '.tiff', '.webp', '.gif', '.bmp', '.JPEG'])}"
    source.write_bytes(pictures.whole(name))
    return _case(f"{name} under a wrong suffix", source, folder, DONE)


def odd_size(rng: Rng, folder: Path) -> Case:
    """As small, long or wide as can be."""
    width, height = [(1, 1), (1, 20_000), (20_000, 1), (30_000, 2), (2, 3), (1, 7)][int(rng.integers(6))]
    suffix, file_format = [(".png", "PNG"), (".jpg", "JPEG"), (".tif", "TIFF"), (".bmp", "BMP")][int(rng.integers(4))]
    source = folder / f"picture{suffix}"
    source.write_bytes(pictures.sized(width, height, file_format))
    return _case(f"{width}x{height} pixels", source, folder, DONE)


def bomb(rng: Rng, folder: Path) -> Case:
    """A header that promises more pixels than a file of this size can hold."""
    png = bytearray(pictures.whole("png"))
    sides = int(rng.integers(5_000, 2**31)), int(rng.integers(5_000, 2**31))
    struct.pack_into(">II", png, 16, *sides)
    struct.pack_into(">I", png, 29, zlib.crc32(png[12:29]))
    source = folder / "picture.png"
    source.write_bytes(png)
    return _case("decompression bomb", source, folder, INPUT)


def clear(rng: Rng, folder: Path) -> Case:
    """A picture of which nothing can be seen."""
    suffix, file_format = [(".png", "PNG"), (".webp", "WEBP"), (".tif", "TIFF")][int(rng.integers(3))]
    source = folder / f"picture{suffix}"
    source.write_bytes(pictures.transparent(file_format))

    def check(outcome: Outcome) -> list[str]:
        made = folder / "out" / source.name
        alpha = read_picture(made).alpha
        return whole_result(outcome, source, made) + (["alpha was lost"] if alpha is None or alpha.any() else [])

    return _case("alpha of zero", source, folder, DONE, check=check)


def no_numbers(rng: Rng, folder: Path) -> Case:
    """A TIFF of floats, one of which is no brightness."""
    values = rng.random((12, 14), np.float32)
    odd = [np.nan, np.inf, -np.inf, -5.0, 3e38][int(rng.integers(5))]
    values[int(rng.integers(12)), int(rng.integers(14))] = odd
    source = folder / "picture.tif"
    source.write_bytes(pictures.float_tiff(values))
    return _case(f"{odd} in a float tiff", source, folder, INPUT)


def odd_name(rng: Rng, folder: Path) -> Case:
    """A good or a bad picture under a name that people do not expect."""
    source = odd_path(rng, folder, ".png")
    good = bool(rng.random() < 0.5)
    source.write_bytes(pictures.whole("png") if good else b"no picture")
    return _case(f"{'good' if good else 'bad'} file of an odd name", source, folder, DONE if good else INPUT)


def no_file(rng: Rng, folder: Path) -> Case:
    """Something that is no file where a picture is expected."""
    kind, source = write_odd(rng, folder / "picture.png")
    return _case(f"{kind} for a picture", source, folder, INPUT, skip=SKIP_AS_ROOT if kind == "no rights" else "")


def in_the_way(rng: Rng, folder: Path) -> Case:
    """Something lies where the result or its folder is to go."""
    source = folder / "picture.png"
    source.write_bytes(pictures.whole("png"))
    place = folder / "out" / "picture.png"
    place.parent.mkdir()
    place.write_bytes(b"somebody's work")
    target, kind = place, "a file where the result goes"
    draw = int(rng.integers(5))
    if draw == 1:
        place.unlink()
        place.mkdir()
        kind = "a folder where the result goes"
    elif draw == 2:
        target, kind = place / "deeper" / "x.png", "a file where the result's folder goes"
    elif draw == 3:
        place.unlink()
        os.mkfifo(place)
        kind = "a pipe where the result goes"
    elif draw == 4:
        place.unlink()
        place.parent.chmod(0o555)
        kind = "a folder that may not be written"
    argv = ("images", str(source), str(target if draw == 2 else place.parent), "--model", str(_model(folder)))
    named, skip = ("out", SKIP_AS_ROOT) if draw == 4 else (place.name, "")
    return Case(kind, argv, folder / "nothing", frozenset({OUTPUT}), named, frozenset(), skip=skip)


def full_disk(rng: Rng, folder: Path) -> Case:
    """No room for the result."""
    source = folder / f"picture{rng.choice(['.png', '.tif', '.jpg', '.bmp'])}"
    source.write_bytes(pictures.whole("bmp"))
    size = int(rng.integers(1, 400))
    return _case("full disk", source, folder, OUTPUT, file_bytes=size)


def mixed_folder(rng: Rng, folder: Path) -> Case:
    """A tree of good and bad pictures, odd names, links in circles and pipes."""
    tree = folder / "in"
    (tree / "below").mkdir(parents=True)
    (tree / "good.png").write_bytes(pictures.whole("png"))
    (tree / "below" / "bad.jpg").write_bytes(DAMAGE["truncated"](rng, pictures.whole("cmyk jpeg"))[:500])
    odd_path(rng, tree, ".png").write_bytes(pictures.whole("png"))
    (tree / "below" / "circle").symlink_to(tree, target_is_directory=True)
    if rng.random() < 0.5:
        write_odd(rng, tree / "below" / "odd.png")
    (tree / "notes.txt").write_text("no picture")
    out = folder / "out"
    others = (*(out / path.relative_to(tree) for path in tree.rglob("*.png")), out / f"{STEM}{SUFFIX}")
    argv = ("images", str(tree), str(out), "--model", str(_model(folder)))
    target = out / "good.png"

    def check(outcome: Outcome) -> list[str]:
        return [wrong for path in tree.glob("*.png") for wrong in whole_result(outcome, path, out / path.name)]

    return Case(
        "folder of good and bad", argv, target, frozenset({PARTIAL}), "bad.jpg", frozenset({PARTIAL}), check, others
    )


IMAGE_KINDS = (
    truncated,
    flipped,
    sectors,
    tags,
    no_file,
    truncated,
    flipped,
    chunks,
    odd_name,
    empty,
    truncated,
    flipped,
    wrong_suffix,
    odd_size,
    in_the_way,
    truncated,
    flipped,
    tags,
    no_numbers,
    mixed_folder,
    bomb,
    clear,
    no_picture,
    full_disk,
)
