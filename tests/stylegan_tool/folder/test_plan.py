from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage

from stylegan_tool.errors import InputError, OutputError, SgtError, UsageError
from stylegan_tool.folder.manifest import FileState, Manifest, Record
from stylegan_tool.folder.plan import Job, plan_jobs, refuse_existing
from stylegan_tool.folder.shard import Shard
from stylegan_tool.hashes import hash_file


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Pictures of three kinds in two levels, one of them broken."""
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    picture = PilImage.new("RGB", (9, 8), (100, 100, 100))
    for name in ("a/x.jpg", "a/x.png", "top.webp"):
        picture.save(folder / name)
    (folder / "a" / "broken.png").write_bytes(b"nothing")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def state_of(path: Path) -> FileState:
    stat = path.stat()
    return FileState(stat.st_size, stat.st_mtime_ns, hash_file(path))


def finish(job: Job, content: bytes = b"result") -> Record:
    """Make a result of `job` as a run would have left it."""
    job.target.parent.mkdir(parents=True, exist_ok=True)
    job.target.write_bytes(content)
    return Record(job.output, job.seen_from, "m", state_of(job.source), state_of(job.target), (9, 8))


def test_the_tree_is_mirrored(tree: Path, tmp_path: Path) -> None:
    jobs = plan_jobs(tree, tmp_path / "out")
    assert [job.name for job in jobs] == ["a/broken.png", "a/x.jpg", "a/x.png", "top.webp"]
    assert [job.output for job in jobs] == [job.name for job in jobs]
    assert all(job.target == tmp_path / "out" / job.name for job in jobs)
    assert [job.seen_from for job in jobs] == [f"../in/{job.name}" for job in jobs]


@given(st.integers(1, 6))
def test_shards_of_a_tree_are_the_whole_of_it(tmp_path_factory: pytest.TempPathFactory, count: int) -> None:
    folder = tmp_path_factory.mktemp("tree")
    for i in range(9):
        (folder / f"{i}.png").write_bytes(b"")
    whole = plan_jobs(folder, folder.parent / "out")
    parts = [plan_jobs(folder, folder.parent / "out", Shard(number, count)) for number in range(1, count + 1)]
    assert sorted((job for part in parts for job in part), key=lambda job: job.name) == whole


@pytest.mark.parametrize("target", ["out", "out/new", "named.png"])
def test_one_picture_goes_to_a_folder_or_a_name(tree: Path, tmp_path: Path, target: str) -> None:
    (job,) = plan_jobs(tree / "a" / "x.jpg", tmp_path / target)
    assert job.target == (tmp_path / target if target.endswith(".png") else tmp_path / target / "x.jpg")


def test_results_inside_the_input_folder_are_not_read_again(tree: Path) -> None:
    jobs = plan_jobs(tree, tree / "out")
    finish(jobs[1])
    assert plan_jobs(tree, tree / "out") == jobs


def test_what_is_in_the_way_is_listed_and_counted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(14):
        (tmp_path / "in" / f"{i:02}.png").write_bytes(b"")
    jobs = plan_jobs(tmp_path / "in", tmp_path / "out")
    for job in jobs[1:]:
        finish(job)
    with pytest.raises(OutputError, match=r"already there.*01\.png.*10\.png and 3 more") as caught:
        refuse_existing(jobs, Manifest(tmp_path / "out"), overwrite=False)
    assert caught.value.exit_code == 5
    assert "--overwrite" in caught.value.hint
    assert refuse_existing(jobs, Manifest(tmp_path / "out"), overwrite=True) == frozenset()


def test_what_is_ours_and_unmodified_may_be_replaced(tree: Path, tmp_path: Path) -> None:
    job, other, *_ = jobs = plan_jobs(tree, tmp_path / "out")
    with Manifest(tmp_path / "out") as manifest:
        for one in (job, other):
            manifest.add(finish(one))
        assert refuse_existing(jobs, manifest, overwrite=False) == {job.output, other.output}
        job.source.write_bytes(b"another picture")  # its own result is to be made again
        assert refuse_existing(jobs, manifest, overwrite=False) == {job.output, other.output}
        other.target.write_bytes(b"retouched by hand")
        with pytest.raises(OutputError, match=other.target.name):
            refuse_existing(jobs, manifest, overwrite=False)


def test_results_of_another_folders_pictures_are_in_the_way(tree: Path, tmp_path: Path) -> None:
    jobs = plan_jobs(tree / "a", tmp_path / "out")
    (tmp_path / "birthday").mkdir()
    (tmp_path / "birthday" / "x.jpg").write_bytes(b"another picture of that name")
    copied = tmp_path / "copied"
    copied.mkdir()
    (copied / "x.jpg").write_bytes((tree / "a" / "x.jpg").read_bytes())
    with Manifest(tmp_path / "out") as manifest:
        manifest.add(finish(next(job for job in jobs if job.name == "x.jpg")))
        with pytest.raises(OutputError, match=r"x\.jpg"):
            refuse_existing(plan_jobs(tmp_path / "birthday", tmp_path / "out"), manifest, overwrite=False)
        assert refuse_existing(plan_jobs(copied, tmp_path / "out"), manifest, overwrite=False) == {"x.jpg"}


def test_a_picture_by_itself_has_no_manifest(tree: Path, tmp_path: Path) -> None:
    jobs = plan_jobs(tree / "a" / "x.jpg", tmp_path / "y.jpg")
    finish(jobs[0])
    with pytest.raises(OutputError, match=r"already there: .*y\.jpg"):
        refuse_existing(jobs, None, overwrite=False)


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
        pytest.param("in/a", "linked", UsageError, "over itself", id="over itself by a link"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tree: Path, source: str, target: str, error: type[SgtError], message: str
) -> None:
    folder = tree.parent
    (folder / "empty").mkdir()
    (folder / "linked").mkdir()
    (folder / "linked" / "x.jpg").symlink_to(folder / "in" / "a" / "x.jpg")
    (folder / "file.txt").write_text("x")
    with pytest.raises(error, match=message):
        refuse_existing(plan_jobs(folder / source, folder / target), None, overwrite=True)


def test_a_picture_has_no_shards(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--shard 1/2"):
        plan_jobs(tree / "top.webp", tmp_path / "out", Shard(1, 2))


def test_names_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "A.png"):
        PilImage.new("RGB", (4, 4)).save(tmp_path / name)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system does not tell a.png from A.png")
    with pytest.raises(UsageError, match="would both become"):
        plan_jobs(tmp_path, tmp_path / "out", Shard(1, 9))  # in whatever shards they are


def test_a_folder_may_be_stylised_into_the_one_above_it(tree: Path) -> None:
    jobs = plan_jobs(tree / "a", tree)
    assert {job.target for job in jobs} == {tree / "x.jpg", tree / "x.png", tree / "broken.png"}


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a place where even root cannot write")
@pytest.mark.parametrize("place", ["/proc/version/out", "file.txt/out"])
def test_an_impossible_place_is_refused_before_any_work(tree: Path, place: str) -> None:
    (tree.parent / "file.txt").write_text("x")
    with pytest.raises(OutputError, match="is not a folder"):
        plan_jobs(tree, tree.parent / place)


def test_the_name_that_the_tool_gives_may_be_typed(tree: Path, tmp_path: Path) -> None:
    (job,) = plan_jobs(tree / "a" / "x.png", tmp_path / "x.gif.png")
    assert job.target == tmp_path / "x.gif.png"
