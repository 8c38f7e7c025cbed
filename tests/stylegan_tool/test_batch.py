from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

from stylegan_tool.batch import plan_jobs, run_jobs
from stylegan_tool.errors import ComputeError, InputError, OutputError, SgtError, UsageError
from stylegan_tool.pixels import Image


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Pictures of three kinds in two levels, one of them broken."""
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    picture = PilImage.fromarray(np.full((8, 9, 3), 100, np.uint8))
    for name in ("a/x.jpg", "a/x.png", "top.webp"):
        picture.save(folder / name)
    (folder / "a" / "broken.png").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def invert(image: Image) -> Image:
    result: NDArray[np.uint8] = (255 - image).astype(np.uint8)
    return result


def test_the_tree_is_mirrored(tree: Path, tmp_path: Path) -> None:
    jobs = plan_jobs(tree, tmp_path / "out", overwrite=False)
    targets = sorted(str(job.target.relative_to(tmp_path / "out")) for job in jobs)
    assert targets == sorted(str(Path(name)) for name in ("a/x.jpg", "a/x.png", "a/broken.png", "top.webp"))


def test_one_bad_file_does_not_stop_the_rest(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    results = list(run_jobs(plan_jobs(tree, out, overwrite=False), invert, overwrite=False))
    failed = [result for result in results if result.error is not None]
    assert [result.job.source.name for result in failed] == ["broken.png"]
    assert isinstance(failed[0].error, InputError)
    for name in ("a/x.jpg", "a/x.png", "top.webp"):
        with PilImage.open(out / name) as written:
            assert written.size == (9, 8)
            assert abs(int(np.asarray(written.convert("RGB"))[4, 4, 0]) - 155) <= 2
    assert not (out / "a" / "broken.png").exists()


def test_a_picture_too_hard_to_compute_does_not_stop_the_rest(tree: Path, tmp_path: Path) -> None:
    def fail_once(image: Image) -> Image:
        fail_once.calls += 1  # type: ignore[attr-defined]  # counts its own calls
        if fail_once.calls == 1:  # type: ignore[attr-defined]
            raise ComputeError("out of memory")
        return image

    fail_once.calls = 0  # type: ignore[attr-defined]
    results = list(run_jobs(plan_jobs(tree, tmp_path / "out", overwrite=False), fail_once, overwrite=False))
    assert sum(result.error is None for result in results) == 2


@pytest.mark.parametrize("target", ["out", "out/new", "named.png"])
def test_one_picture_goes_to_a_folder_or_a_name(tree: Path, tmp_path: Path, target: str) -> None:
    (job,) = plan_jobs(tree / "a" / "x.jpg", tmp_path / target, overwrite=False)
    assert job.target == (tmp_path / target if target.endswith(".png") else tmp_path / target / "x.jpg")


def test_results_inside_the_input_folder_are_not_read_again(tree: Path) -> None:
    out = tree / "out"
    first = plan_jobs(tree, out, overwrite=False)
    list(run_jobs(first, invert, overwrite=False))
    assert plan_jobs(tree, out, overwrite=True) == first


def test_existing_results_are_listed_before_any_work(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(run_jobs(plan_jobs(tree, out, overwrite=False), invert, overwrite=False))
    before = (out / "top.webp").read_bytes()
    with pytest.raises(OutputError, match=r"already there: .*x\.jpg.*top\.webp") as caught:
        plan_jobs(tree, out, overwrite=False)
    assert caught.value.exit_code == 5
    assert (out / "top.webp").read_bytes() == before
    jobs = plan_jobs(tree, out, overwrite=True)
    list(run_jobs(jobs, lambda image: image, overwrite=True))
    assert (out / "top.webp").read_bytes() != before


def _mixed_case(folder: Path) -> None:
    for name in ("a.png", "A.png"):
        PilImage.new("RGB", (4, 4)).save(folder / name)


@pytest.mark.parametrize(
    ("source", "target", "error", "message"),
    [
        pytest.param("missing", "out", InputError, "no such file or folder", id="missing"),
        pytest.param("empty", "out", InputError, "no pictures in", id="empty"),
        pytest.param("in", "file.txt", UsageError, "a folder and .* a file", id="folder to file"),
        pytest.param("in/a/x.jpg", "x.docx", UsageError, r"cannot be written as \.docx", id="unknown suffix"),
        pytest.param("in/a/x.jpg", "in/a/x.jpg", UsageError, "over itself", id="over itself"),
        pytest.param("in/a/x.jpg", "in/a", UsageError, "over itself", id="into its own folder"),
        pytest.param("in", "in", UsageError, "into itself", id="folder into itself"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tree: Path, source: str, target: str, error: type[SgtError], message: str
) -> None:
    folder = tree.parent
    (folder / "empty").mkdir()
    (folder / "file.txt").write_text("x")
    with pytest.raises(error, match=message):
        plan_jobs(folder / source, folder / target, overwrite=True)


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    _mixed_case(tmp_path)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system does not tell a.png from A.png")
    with pytest.raises(UsageError, match="would both become"):
        plan_jobs(tmp_path, tmp_path / "out", overwrite=False)


def test_a_folder_may_be_stylised_into_the_one_above_it(tree: Path) -> None:
    jobs = plan_jobs(tree / "a", tree, overwrite=False)
    assert {job.target for job in jobs} == {tree / "x.jpg", tree / "x.png", tree / "broken.png"}


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a place where even root cannot write")
@pytest.mark.parametrize("place", ["/proc/version/out", "file.txt/out"])
def test_an_impossible_place_is_refused_before_any_work(tree: Path, place: str) -> None:
    (tree.parent / "file.txt").write_text("x")
    with pytest.raises(OutputError, match="is not a folder"):
        plan_jobs(tree, tree.parent / place, overwrite=False)


def test_the_name_that_the_tool_gives_may_be_typed(tree: Path, tmp_path: Path) -> None:
    (job,) = plan_jobs(tree / "a" / "x.png", tmp_path / "x.gif.png", overwrite=False)
    assert job.target == tmp_path / "x.gif.png"


def test_a_picture_that_memory_cannot_hold_does_not_stop_the_rest(tree: Path, tmp_path: Path) -> None:
    def fail(image: Image) -> Image:
        raise MemoryError

    results = list(run_jobs(plan_jobs(tree, tmp_path / "out", overwrite=False), fail, overwrite=False))
    assert len(results) == 4
    assert sum(isinstance(result.error, ComputeError) for result in results) == 3
