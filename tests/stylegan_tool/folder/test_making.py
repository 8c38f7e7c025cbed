import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.errors import ComputeError, InputError, OutputError, UsageError
from stylegan_tool.folder.making import Making, PlaceLostError, Result, already_done, run_jobs
from stylegan_tool.folder.manifest import Manifest
from stylegan_tool.folder.plan import Job, plan_jobs, refuse_existing
from stylegan_tool.hashes import hash_file
from stylegan_tool.image_files.picture import Picture
from stylegan_tool.image_files.reading import read_picture
from stylegan_tool.image_files.writing import write_picture
from stylegan_tool.options import Blend
from stylegan_tool.pixels import Image


def invert(images: Sequence[Image], names: Sequence[str] = ()) -> list[Image]:
    return [~image for image in images]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six pictures of two sizes, one of them broken."""
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    for i, name in enumerate(("a/0.png", "a/1.png", "a/2.png", "b.png", "d.png")):
        size = (9, 8) if i < 3 else (5, 5)
        PilImage.new("RGB", size, (10 * i, 100, 100)).save(folder / name)
    (folder / "c.png").write_bytes(b"nothing")
    return folder


def run(jobs: Sequence[Job], making: Making, out: Path) -> list[Result]:
    return list(run_jobs(jobs, making, out))


def test_results_come_in_order_and_one_bad_file_does_not_stop_the_rest(tree: Path, tmp_path: Path) -> None:
    jobs = plan_jobs(tree, tmp_path / "out")
    results = run(jobs, Making(invert), tmp_path / "out")
    assert [result.job for result in results] == jobs
    assert [result.status for result in results] == ["made", "made", "made", "made", "failed", "made"]
    assert isinstance(results[4].error, InputError)
    for result in results:
        if result.status == "failed":
            assert not result.job.target.exists()
            continue
        with PilImage.open(result.job.target) as written:
            assert result.size == written.size
        assert np.array_equal(read_picture(result.job.target).image, ~read_picture(result.job.source).image)
        assert result.hash == hash_file(result.job.target)
        assert result.n_bytes == result.job.target.stat().st_size


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_pictures_of_one_size_go_through_together(tree: Path, tmp_path: Path, at_once: int) -> None:
    seen: list[list[tuple[int, ...]]] = []

    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        seen.append([image.shape for image in images])
        return invert(images)

    results = run(plan_jobs(tree, tmp_path / "out"), Making(stylize, at_once=at_once), tmp_path / "out")
    large, small = (8, 9, 3), (5, 5, 3)
    assert (
        seen
        == {
            1: [[large]] * 3 + [[small]] * 2,
            2: [[large] * 2, [large], [small], [small]],
            8: [[large] * 3, [small], [small]],
        }[at_once]
    )
    assert sum(result.status == "made" for result in results) == 5
    assert (read_picture(tmp_path / "out" / "a" / "1.png").image[0, 0] == (245, 155, 155)).all()


@pytest.mark.parametrize("error", [ComputeError("no finite numbers"), MemoryError()], ids=["compute", "memory"])
def test_of_pictures_that_go_together_only_the_one_to_blame_fails(tree: Path, tmp_path: Path, error: Exception) -> None:
    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        if any(image[0, 0, 0] == 10 for image in images):
            raise error
        return invert(images)

    results = run(plan_jobs(tree, tmp_path / "out"), Making(stylize, at_once=8), tmp_path / "out")
    assert [result.job.name for result in results if isinstance(result.error, ComputeError)] == ["a/1.png"]
    assert sum(result.status == "made" for result in results) == 4


def test_an_option_that_fits_no_picture_ends_the_run(tree: Path, tmp_path: Path) -> None:
    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        raise UsageError("tiles too small")

    with pytest.raises(UsageError, match="tiles too small"):
        run(plan_jobs(tree, tmp_path / "out"), Making(stylize), tmp_path / "out")


def test_reading_stylising_and_writing_overlap(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each step waits until the other two are at work: one after the other, they would wait for ever.
    together = threading.Barrier(3)

    def meet(number: int) -> None:
        if number == 0:
            together.wait(10)

    def slow_read(path: Path) -> Picture:
        meet({"2.png": 0}.get(path.name, 1))
        return read_picture(path)

    def slow_encode(path: Path, picture: Picture) -> bytes:
        meet({"0.png": 0}.get(path.name, 1))
        return path.name.encode()

    calls = iter(range(9))

    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        meet(abs(next(calls) - 1))
        return list(images)

    monkeypatch.setattr("stylegan_tool.folder.making.read_picture", slow_read)
    monkeypatch.setattr("stylegan_tool.folder.making.encode_picture", slow_encode)
    results = run(plan_jobs(tree / "a", tmp_path / "out"), Making(stylize), tmp_path / "out")
    assert [result.status for result in results] == ["made"] * 3


def test_few_pictures_are_held_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stylegan_tool.folder.making.MOST_PIXELS", 100)
    (tmp_path / "in").mkdir()
    for i in range(12):
        PilImage.new("RGB", (50, 50) if i % 4 == 3 else (5, 5)).save(tmp_path / "in" / f"{i:02}.png")
    read: list[str] = []

    def note(path: Path) -> Picture:
        read.append(path.name)
        return read_picture(path)

    monkeypatch.setattr("stylegan_tool.folder.making.read_picture", note)
    for at_once in (1, 4, 64):
        read.clear()
        making = Making(invert, at_once=at_once, overwrite=True)
        ahead = []
        for number, _ in enumerate(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), making, tmp_path / "out")):
            time.sleep(0.01)
            ahead.append(len(read) - number)
        assert len(ahead) == 12
        assert max(ahead) <= 10  # but not all twelve


# What is done already -----------------------------------------------------------------------------


def run_again(tree: Path, out: Path, making: Making) -> list[Result]:
    with Manifest(out) as manifest:
        jobs = plan_jobs(tree, out)
        replaceable = refuse_existing(jobs, manifest, overwrite=False)
        return run(jobs, replace(making, manifest=manifest, replaceable=replaceable), out)


def statuses(results: Sequence[Result]) -> dict[str, str]:
    return {result.job.name: result.status for result in results}


def snapshot(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".sgt"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_second_run_skips_what_is_done_and_redoes_what_changed(tree: Path, tmp_path: Path) -> None:
    (tree / "c.png").unlink()
    out = tmp_path / "out"
    calls: list[Image] = []

    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        calls.extend(images)
        return invert(images)

    making = Making(stylize, made_with={"model": "one"})
    first = run_again(tree, out, making)
    assert set(statuses(first).values()) == {"made"}
    calls.clear()
    again = run_again(tree, out, making)
    assert set(statuses(again).values()) == {"done before"}
    assert calls == []
    assert [(one.size, one.n_bytes, one.hash) for one in again] == [(one.size, one.n_bytes, one.hash) for one in first]

    PilImage.new("RGB", (9, 8), (1, 2, 3)).save(tree / "a" / "1.png")  # another picture
    os.utime(tree / "b.png", ns=(5, 5))  # touched, not changed
    (out / "d.png").unlink()
    third = statuses(run_again(tree, out, making))
    assert [name for name, status in third.items() if status == "made"] == ["a/1.png", "d.png"]
    assert (read_picture(out / "a" / "1.png").image[0, 0] == (254, 253, 252)).all()

    with Manifest(out) as manifest:  # what was touched has been noted: it is not read again
        (job,) = (one for one in plan_jobs(tree, out) if one.name == "b.png")
        assert already_done(job, replace(making, manifest=manifest), by_content=False) is not None

    other = statuses(run_again(tree, out, replace(making, made_with={"model": "two"})))
    assert set(other.values()) == {"made"}


def test_a_result_that_somebody_changed_during_the_run_stays(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_again(tree, out, Making(invert, made_with={"model": "one"}))

    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        (out / "d.png").write_bytes(b"retouched by hand")
        return invert(images)

    results = run_again(tree, out, Making(stylize, made_with={"model": "two"}))
    (failed,) = (one for one in results if one.job.name == "d.png")
    assert isinstance(failed.error, OutputError)
    assert (out / "d.png").read_bytes() == b"retouched by hand"


def test_what_another_run_finished_meanwhile_is_no_failure(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        if not (out / "d.png").exists():
            write_picture(out / "d.png", Picture(~read_picture(tree / "d.png").image))  # it had no time for its record
        return invert(images)

    results = statuses(run_again(tree, out, Making(stylize)))
    assert results["d.png"] == "done before"
    assert results["c.png"] == "failed"
    assert set(statuses(run_again(tree, out, Making(stylize))).values()) == {"done before", "failed"}


def test_what_another_run_makes_differently_is_not_replaced(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        if not (out / "d.png").exists():
            write_picture(out / "d.png", Picture(read_picture(tree / "d.png").image))
        return invert(images)

    results = run_again(tree, out, Making(stylize))
    (other,) = (one for one in results if one.job.name == "d.png")
    assert isinstance(other.error, OutputError)


def test_a_picture_that_grows_while_it_is_read_fails(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_and_touch(path: Path) -> Picture:
        picture = read_picture(path)
        if path.name == "b.png":
            os.utime(path, ns=(7, 7))
        return picture

    monkeypatch.setattr("stylegan_tool.folder.making.read_picture", read_and_touch)
    results = run_again(tree, tmp_path / "out", Making(invert))
    (failed,) = (one for one in results if one.job.name == "b.png")
    assert "was changed while it was read" in str(failed.error)


# The place for results ----------------------------------------------------------------------------


def test_a_folder_that_vanishes_ends_the_run_and_is_not_made_again(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stylize(images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        if (out / "a" / "0.png").exists():
            out.rename(tmp_path / "elsewhere")
        return invert(images)

    (tree / "c.png").unlink()
    for i in range(20):
        PilImage.new("RGB", (5, 5)).save(tree / f"z{i}.png")
    with pytest.raises(PlaceLostError, match="has vanished") as caught:
        run_again(tree, out, Making(stylize))
    assert caught.value.exit_code == 5
    assert not out.exists()


def test_a_folder_that_cannot_be_made_ends_the_run(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PlaceLostError, match="cannot make the folder"):
        run(plan_jobs(tree, tmp_path / "out"), Making(invert), tmp_path / "file" / "out")


# What of the result is shown ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blending_keeps_alpha_and_depth(tmp_path: Path, dtype: type[Any]) -> None:
    most = np.iinfo(dtype).max
    image: Image = np.zeros((4, 6, 3), dtype)
    image[..., 0] = most // 4
    alpha = np.tile(np.linspace(0, most, 6).astype(dtype), (4, 1))
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "x.png", Picture(image, alpha))
    making = Making(invert, blend=Blend(strength=0.5, compare="side"))
    (result,) = run(plan_jobs(tmp_path / "in", tmp_path / "out"), making, tmp_path / "out")
    assert result.size == (12, 4)
    shown = read_picture(tmp_path / "out" / "x.png")
    assert shown.image.dtype == dtype
    assert shown.alpha is not None
    assert np.array_equal(shown.alpha, np.hstack([alpha, alpha]))
    assert np.array_equal(shown.image[:, :6], image)
    assert abs(shown.image[:, 6:].astype(float) - most / 2).max() <= 1


def test_colours_are_kept(tmp_path: Path) -> None:
    image = np.full((4, 6, 3), (150, 100, 50), np.uint8)
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "x.png", Picture(image))
    making = Making(lambda images, names: [image + 40 for image in images], blend=Blend(keep_colour=True))
    run(plan_jobs(tmp_path / "in", tmp_path / "out"), making, tmp_path / "out")
    assert (read_picture(tmp_path / "out" / "x.png").image == (190, 140, 90)).all()


def test_an_animation_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    frames = [PilImage.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for suffix in ("gif", "webp", "png", "tiff", "avif"):
        frames[0].save(tmp_path / "in" / f"moves.{suffix}", save_all=True, append_images=frames[1:])
        frames[0].save(tmp_path / "in" / f"still.{suffix}")
    results = run(plan_jobs(tmp_path / "in", tmp_path / "out"), Making(invert), tmp_path / "out")
    assert len(results) == 10
    for result in results:
        assert result.is_first_of_several == result.job.name.startswith("moves")
        assert abs(read_picture(result.job.target).image[4, 4].astype(int) - (0, 255, 255)).max() < 8
