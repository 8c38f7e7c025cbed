import io
import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.film.preview import make_preview
from stylegan_tool.folder.manifest import Manifest
from stylegan_tool.gallery.film_record import PART, find_film
from stylegan_tool.gallery.run import read_run
from stylegan_tool.options import FilmOptions
from tests.films import grey, make_film
from tests.galleries import BLUE, GREEN, RED, make_results, write_flat


def test_the_page_is_written_and_renewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = make_results(tmp_path)
    assert main(["gallery", str(out)]) == 0
    page = out / "gallery.html"
    assert f"2 shown, 0.0 MB: {page}" in capsys.readouterr().err
    before = page.read_text(encoding="utf-8")
    (tmp_path / "photos/two.png").unlink()
    assert main(["gallery", str(out)]) == 0
    after = page.read_text(encoding="utf-8")
    assert before.count("<img ") == 5
    assert after.count("<img ") == 4
    assert "The source is no longer where it was." in after
    assert not list(out.glob(".sgt-*.tmp"))


def test_what_is_not_ours_is_replaced_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, page = make_results(tmp_path), tmp_path / "mine.html"
    page.write_text("<title>mine</title>")
    assert main(["gallery", str(out), "--output", str(page)]) == 5
    assert "was not made by sgt gallery" in capsys.readouterr().err
    assert page.read_text() == "<title>mine</title>"
    assert main(["gallery", str(out), "--output", str(page), "--overwrite"]) == 0
    assert "painted" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["nowhere"], 3, "no such folder: nowhere", id="no folder"),
        pytest.param(["empty"], 3, "sgt images photos/ empty --to vangogh --gallery", id="nothing there"),
        pytest.param(["painted", "--output", "page.txt"], 5, "end in .html", id="no page's name"),
        pytest.param(["painted", "--output", "no/such/x.html"], 5, "no/such/x.html", id="no such place"),
        pytest.param(["run-001"], 3, "has nothing to show yet", id="a run that has just begun"),
        pytest.param(["bad-001"], 3, "cannot read the run", id="a damaged run"),
    ],
)
def test_errors_say_what_to_do(
    in_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    make_results(in_folder)
    (in_folder / "empty").mkdir()
    for name, text in (("run-001", "{}"), ("bad-001", "{")):
        (in_folder / name / "samples").mkdir(parents=True)
        (in_folder / name / "config.json").write_text(text)
    assert main(["gallery", *arguments]) == code
    assert said in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    out = make_results(tmp_path)
    out.chmod(0o500)
    try:
        assert main(["gallery", str(out)]) == 5
    finally:
        out.chmod(0o700)


def test_a_picture_that_cannot_be_read_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.galleries import record_picture

    out = make_results(tmp_path)
    damaged = out / "two.png"
    write_flat(damaged, RED)
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PilImage, "open", lambda path: PilImage.new("RGB", (300, 200)))
        record_picture(out, "two.png", tmp_path / "photos/two.png")
    assert main(["gallery", str(out)]) == 0
    assert "not shown: cannot read" in capsys.readouterr().err
    assert (out / "gallery.html").read_text(encoding="utf-8").count("<figure") == 1


def test_images_make_their_page(both_ways: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_flat(in_folder / "photos/a.png", BLUE)
    write_flat(in_folder / "photos/b.png", GREEN)
    (in_folder / "photos/broken.png").write_bytes(b"no picture")
    command = ["images", "photos", "out", "--model", str(both_ways), "--gallery", "--provider", "cpu"]
    assert main(command) == 6  # one failed; the others have their page
    text = (in_folder / "out/gallery.html").read_text(encoding="utf-8")
    assert text.count("<figure") == 2
    assert "photo → vangogh (A2B)" in text
    assert "style/A2B.onnx" in text
    assert str(in_folder) not in text
    assert main(command) == 6  # and again, with all of them done before
    (in_folder / "out/gallery.html").write_text("mine")
    capsys.readouterr()
    assert main(command) == 5
    assert "was not made by sgt gallery" in capsys.readouterr().err


def test_one_picture_has_its_page_beside_it(both_ways: Path, in_folder: Path) -> None:
    write_flat(in_folder / "a.png", BLUE)
    assert main(["images", "a.png", "b.png", "--model", str(both_ways), "--gallery", "--provider", "cpu"]) == 0
    text = (in_folder / "b.html").read_text(encoding="utf-8")
    assert text.count("<img ") == 2
    assert "photo → vangogh (A2B)" in text


def test_a_film_is_remembered_and_shown(both_ways: Path, in_folder: Path) -> None:
    make_film(in_folder / "in.mp4", [grey(40 + 2 * number, 64, 48) for number in range(20)])
    command = ["video", "in.mp4", "out.mp4", "--model", str(both_ways), "--provider", "cpu", "--steady", "off"]
    assert main([*command, "--start", "0.2"]) == 0
    manifest = Manifest(in_folder)
    record = manifest.newest("out.mp4")
    assert record is not None
    assert record.input == "in.mp4"
    film = find_film(manifest, record)
    assert film is not None
    assert film.means["window"] == {"start": "1/5"}
    assert film.means["about"]["model"] == "style/A2B.onnx"
    assert main(["gallery", "."]) == 0
    text = (in_folder / "gallery.html").read_text(encoding="utf-8")
    assert text.count("<canvas ") == 2
    assert "photo → vangogh (A2B)" in text
    (in_folder / "in.mp4").unlink()
    assert main(["gallery", "."]) == 0
    assert (in_folder / "gallery.html").read_text(encoding="utf-8").count("<canvas ") == 1
    (in_folder / "out.mp4").write_bytes(b"another")
    assert main(["gallery", "."]) == 3


def test_a_film_that_cannot_be_remembered_is_made_all_the_same(both_ways: Path, in_folder: Path) -> None:
    make_film(in_folder / "in.mp4", [grey(40)] * 3)
    (in_folder / f".sgt-manifest-{PART}.jsonl").mkdir()
    assert main(["video", "in.mp4", "out.mp4", "--model", str(both_ways), "--provider", "cpu", "--steady", "off"]) == 0
    assert (in_folder / "out.mp4").is_file()


def test_a_preview_holds_films_below_each_other_at_the_same_times(tmp_path: Path) -> None:
    levels = [40 + 4 * number for number in range(30)]
    times = [0, 40, 120, *range(160, 160 + 27 * 40, 40)]  # one frame is shown for twice as long
    source = make_film(tmp_path / "a.mp4", [grey(level, 64, 48) for level in levels], times)
    later = [at - times[5] for at in times[5:25]]
    result = make_film(tmp_path / "b.mkv", [grey(level, 64, 48) for level in levels[5:25]], later)
    counted: list[int] = []
    window = FilmOptions(start_s=Fraction(times[5], 1000))
    preview = make_preview([(source, window), (result, FilmOptions())], lambda: counted.append(1))
    assert (preview.width, preview.height, preview.rows) == (64, 48, 2)
    with av.open(io.BytesIO(preview.content), "r") as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(frames) == len(counted) == 25  # all of the source's; the result's last one stays
    for number, frame in enumerate(frames):
        top, bottom = float(np.median(frame[:48])), float(np.median(frame[48:]))
        pairs = ((top, levels[5 + number]), (bottom, levels[min(5 + number, 24)]))
        for seen, level in pairs:
            assert abs(seen - (level - 16) * 255 / 219) <= 2


def test_a_runs_values_are_read(tmp_path: Path) -> None:
    run = tmp_path / "photo2red-002"
    for epoch in range(1, 13):
        write_flat(run / f"samples/epoch_{epoch:04d}.png", RED, (8, 4))
    (run / "samples/epoch_x.png").write_bytes(b"")
    (run / "config.json").write_text(json.dumps({"domain_a": "photo", "domain_b": "red", "metric": "a2b"}))
    lines = [json.dumps({"epoch": e, "step": 5, "steps": 5 * e, "gan": 1.0, "swd_a2b": 100.0 - e}) for e in (1, 2)]
    (run / "stats.jsonl").write_text("\n".join([*lines, '{"epoch": 3, "st']))
    read = read_run(run, most=4)
    assert list(read.samples) == [1, 4, 8, 12]
    assert read.left_out == 8
    assert read.series["gan"] == [(1.0, 1.0), (2.0, 1.0)]
    assert read.best() == (2, "A2B", 98.0)
    assert read.end == 12


def test_the_page_of_a_run_lacks_a_damaged_sheet_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "photo2red-003"
    write_flat(run / "samples/epoch_0001.png", RED, (8, 4))
    (run / "samples/epoch_0002.png").write_bytes(b"no picture")
    (run / "config.json").write_text("{}")
    (run / "stats.jsonl").write_text('{"epoch": 1, "step": 1, "steps": "many", "gan": 1}\n')
    assert main(["gallery", str(run)]) == 0
    said = capsys.readouterr().err
    assert "not shown: " in said
    assert "1 epoch, " in said


def test_pictures_that_all_fail_are_told_as_without_a_page(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.png"):
        (in_folder / "photos").mkdir(exist_ok=True)
        (in_folder / "photos" / name).write_bytes(b"")
    assert main(["images", "photos", "painted", "--to", "vangogh", "--gallery"]) == 6
    assert "2 of 2 pictures failed" in capsys.readouterr().err
    assert not (in_folder / "painted/gallery.html").exists()


def test_a_shard_without_pictures_needs_no_page(in_folder: Path) -> None:
    write_flat(in_folder / "photos/a.png", RED, (8, 8))
    codes = {
        main(["images", "photos", f"out{n}", "--to", "vangogh", "--gallery", "--shard", f"{n}/3"]) for n in (1, 2, 3)
    }
    assert codes == {0}


def test_a_page_that_is_in_the_way_is_told_before_work(in_folder: Path) -> None:
    write_flat(in_folder / "photos/a.png", RED, (8, 8))
    (in_folder / "painted").mkdir()
    (in_folder / "painted/gallery.html").write_text("mine")
    assert main(["images", "photos", "painted", "--to", "vangogh", "--gallery"]) == 5
    assert not (in_folder / "painted/a.png").exists()


@pytest.mark.parametrize("means", [{"strength": "a"}, {"tiles": 3}, {"about": 1}, {"window": {"start": "x"}}])
def test_a_meaning_of_anybodys_hand_ends_rightly(tmp_path: Path, means: dict[str, object]) -> None:
    out = make_results(tmp_path)
    (path,) = out.glob(".sgt-manifest*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "means" in line:
            line["means"] = {**line["means"], **means}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert main(["gallery", str(out)]) in (0, 3)
