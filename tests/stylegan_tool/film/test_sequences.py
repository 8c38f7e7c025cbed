"""Films that become pictures and pictures that become films; folders that are not ours."""

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stylegan_tool.errors import OutputError
from stylegan_tool.film.convert import convert_film
from stylegan_tool.film.look import INTERLACED
from stylegan_tool.film.naming import list_sequence
from stylegan_tool.film.store import SegmentStore, kept_folder
from stylegan_tool.image_files.picture import Picture, Plane
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture
from stylegan_tool.options import FilmOptions
from stylegan_tool.pixels import Image
from tests.films import SECOND, decode, grey, identity, make_film, noise_images, times_s, write_film
from tests.stylegan_tool.film.test_going_on import convert


def pictures_of(folder: Path) -> list[Image]:
    return [read_picture(path).image for path in sorted(folder.glob("*.png"))]


def test_a_film_becomes_pictures_and_they_a_film_again(tmp_path: Path) -> None:
    images = noise_images(5)
    source = write_film(tmp_path / "in.mkv", images)
    folder = tmp_path / "100% of it"
    folder.mkdir()
    convert_film(source, folder / "%05d.png", identity)
    assert [path.name for path in sorted(folder.iterdir())] == [f"{n:05d}.png" for n in range(1, 6)]
    for image, picture in zip(images, pictures_of(folder), strict=True):
        assert np.abs(image.astype(int) - picture).max() <= 4
    options = FilmOptions(sequence_rate=Fraction(20))
    report = convert_film(folder / "%05d.png", tmp_path / "out.mp4", identity, options=options)
    assert report.frames == 5
    assert times_s(tmp_path / "out.mp4") == [Fraction(n, 20) for n in range(5)]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_numbered_pictures_of_8_and_16_bits_with_alpha(
    tmp_path: Path, suffix: str, kind: type[np.uint8] | type[np.uint16]
) -> None:
    values: Any = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (8, 12, 3)).astype(kind)
    image: Image = values
    alpha: Plane = values[..., 0].copy()
    for number in (1, 2):
        write_picture(tmp_path / f"{number}{suffix}", Picture(image, alpha))
    (tmp_path / "out").mkdir()
    convert_film(tmp_path / f"%d{suffix}", tmp_path / "out" / "%d.png", identity)
    again = read_picture(tmp_path / "out" / "2.png")
    assert np.array_equal(again.image, image)
    assert again.alpha is not None
    assert np.array_equal(again.alpha, alpha)


def test_grey_tiffs_are_a_film(tmp_path: Path) -> None:
    from PIL import Image as PilImage

    for number in (1, 2):
        PilImage.new("L", (16, 16), 40 * number).save(tmp_path / f"{number}.tif")
    assert convert_film(tmp_path / "%d.tif", tmp_path / "out.mkv", identity).frames == 2


def test_padding_in_a_pattern_is_part_of_the_name(tmp_path: Path) -> None:
    for name in ("1.png", "00002.png", "100000.png", "0003.png"):
        (tmp_path / name).touch()
    assert list(list_sequence(tmp_path / "%05d.png")) == [2, 100000]
    assert list(list_sequence(tmp_path / "%d.png")) == [1, 100000]


def test_two_numbers_in_a_name_are_refused_before_any_work(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 2)
    with pytest.raises(OutputError, match="more than one place"):
        convert_film(source, tmp_path / "%d_%d.png", identity)


def test_pictures_whose_content_changed_are_another_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 31):
        write_picture(tmp_path / f"{number}.bmp", Picture(noise_images(30)[number - 1]))

    def stop(image: Image) -> Image:
        stop.calls += 1  # type: ignore[attr-defined]
        if stop.calls > 25:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return image

    stop.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr("stylegan_tool.film.making.MOST_FRAMES", 9)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "%d.bmp", tmp_path / "out.mp4", stop)
    write_picture(tmp_path / "3.bmp", Picture(255 - noise_images(1)[0]), overwrite=True)
    os.utime(tmp_path / "3.bmp", ns=(1, 1))
    with pytest.raises(OutputError, match="source"):
        convert(tmp_path / "%d.bmp", tmp_path / "out.mp4")


@pytest.mark.parametrize("name", ["out.mp4", "out/%03d.png", "out.gif"])
@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_killed_while_it_is_put_in_its_place(
    tmp_path: Path, name: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_film(tmp_path / "in.mkv", noise_images(6))
    target = tmp_path / name
    target.parent.mkdir(exist_ok=True)
    moved = 0
    replace = Path.replace

    def killed(path: Path, to: Path) -> Path:
        nonlocal moved
        if path.name.startswith("whole") or path.parent.name == "pictures":
            moved += 1
            if when == "before" or (when == "half" and moved > 2):
                raise KeyboardInterrupt
        return replace(path, to)

    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        if when == "after" or (when == "half" and target.suffix != ".png"):
            patch.setattr(SegmentStore, "remove", stopped)
        with pytest.raises(KeyboardInterrupt):
            convert(source, target)
    assert kept_folder(target).exists()
    report = convert(source, target)
    assert report.kept == report.frames == 6
    assert not kept_folder(target).exists()
    assert len(decode(target) if target.exists() else pictures_of(target.parent)) == 6


def test_older_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert_film(write_film(tmp_path / "a.mkv", noise_images(6)), tmp_path / "out/%03d.png", identity)
    short = write_film(tmp_path / "b.mkv", noise_images(4))
    with pytest.raises(OutputError, match="exists"):
        convert_film(short, tmp_path / "out/%03d.png", identity)
    report = convert_film(short, tmp_path / "out/%03d.png", identity, overwrite=True)
    assert any("2 older pictures lie there, too, from 005.png on" in note for note in report.notes)


def test_pictures_of_a_longer_film_that_was_killed_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    target = tmp_path / "out/%03d.png"
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 2)

    def put(image: Image) -> Image:  # as such a run would have left it
        pictures = kept_folder(target) / "pictures"
        pictures.mkdir(exist_ok=True)
        write_picture(pictures / "009.png", Picture(image), overwrite=True)
        return image

    convert(source, target, put)
    assert [path.name for path in sorted(target.parent.iterdir())] == ["001.png", "002.png"]


@pytest.mark.parametrize(("last_ms", "is_said"), [(80, False), (400, True)])
def test_times_that_pictures_cannot_say_are_named(tmp_path: Path, last_ms: int, is_said: bool) -> None:
    (tmp_path / "out").mkdir()
    source = make_film(tmp_path / "in.mkv", [grey(60 + n) for n in range(3)], [0, 41, last_ms])
    report = convert_film(source, tmp_path / "out/%d.png", identity)
    assert any("numbered pictures cannot say" in note for note in report.notes) == is_said


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 2)
    theirs = kept_folder(tmp_path / "out.mp4")
    (theirs / "sub").mkdir(parents=True)
    (theirs / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="something else") as caught:
        convert(source, tmp_path / "out.mp4")
    assert caught.value.hint
    assert (theirs / "notes.txt").read_text() == "mine"


def test_what_somebody_put_beside_the_segments_stays(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mp4", [grey(60)] * 2)
    folder = kept_folder(tmp_path / "out.mp4")

    def put(image: Image) -> Image:
        (folder / "notes.txt").write_text("mine")
        return image

    convert(source, tmp_path / "out.mp4", put)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_film_that_becomes_interlaced_is_made_whole_from_there_on(tmp_path: Path) -> None:
    frames = [grey(60 + n) for n in range(6)]
    source = make_film(tmp_path / "in.mkv", frames, options={"crf": "1", "bf": "0"})
    report = convert_film(source, tmp_path / "out.mp4", identity)
    assert not any(INTERLACED in note for note in report.notes)
    parts: Sequence[Path] = [tmp_path / "a.ts", tmp_path / "b.ts"]
    for part, flags in zip(parts, ("", "interlaced=1:tff=1"), strict=True):
        options = {"crf": "1", "bf": "0", "x264-params": flags}
        write_ts(part, [grey(60 + n, 64, 64) for n in range(12)], options, 12 * parts.index(part))
    joined = tmp_path / "mixed.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    report = convert_film(joined, tmp_path / "mixed.mp4", identity)
    assert report.frames == 24
    assert any(INTERLACED in note for note in report.notes)


def write_ts(path: Path, frames: Sequence[av.VideoFrame], options: dict[str, str], first: int) -> None:
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25, options=options, width=64, height=64)
        assert isinstance(stream, av.VideoStream)
        stream.codec_context.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = first + number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_film_that_begins_late_is_counted_from_its_beginning(tmp_path: Path) -> None:
    source = make_film(tmp_path / "in.mkv", [grey(60 + n) for n in range(25)], [100_000 + 40 * n for n in range(25)])
    options = FilmOptions(start_s=Fraction(1, 5), end_s=Fraction(2, 5))
    report = convert_film(source, tmp_path / "out.mkv", identity, options=options)
    assert report.frames == 5
    assert times_s(tmp_path / "out.mkv") == [40 * n * SECOND for n in range(5)]
    assert convert_film(source, tmp_path / "p.mkv", identity, options=FilmOptions(preview_s=Fraction(1, 5))).frames == 5
