"""What needs no Ray: who works, what workers do with a batch, and what is refused before anything is connected to."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.cluster.connection import Crew, plan_crew
from stylegan_tool.cluster.parcel import Parcel, Shared, shared, try_out
from stylegan_tool.cluster.workers import (
    Failure,
    FilmWork,
    FilmWorker,
    FolderWork,
    FolderWorker,
    Search,
    Task,
    located,
    pack,
    search,
    unpack,
)
from stylegan_tool.errors import InputError, MissingError, OutputError, SgtError
from stylegan_tool.film.convert import plan_encoding, plan_window
from stylegan_tool.film.look import look_at
from stylegan_tool.film.shots import FilmPlan
from stylegan_tool.folder.manifest import Manifest
from stylegan_tool.folder.plan import plan_jobs
from stylegan_tool.options import Blend, FilmOptions, TileOption
from tests.films import noise_images, write_film
from tests.models import RED, make_info, write_colour_model


@pytest.mark.parametrize(
    ("machines", "wants_gpu", "crew"),
    [
        pytest.param([{"CPU": 8}, {"CPU": 2}], True, Crew(2, 2, 1, 0), id="one-on-each-machine"),
        pytest.param([{"CPU": 8, "GPU": 2}, {"CPU": 2}, {"GPU": 1}], True, Crew(3, 2, 2, 1), id="one-on-each-gpu"),
        pytest.param([{"CPU": 8, "GPU": 2}, {"CPU": 2}], False, Crew(2, 2, 1, 0), id="gpus-not-wanted"),
        pytest.param([{"CPU": 0}, {"CPU": 4}, {}], False, Crew(1, 1, 1, 0), id="a-head-that-only-leads"),
    ],
)
def test_who_works(machines: list[dict[str, float]], wants_gpu: bool, crew: Crew) -> None:
    assert plan_crew(machines, wants_gpu=wants_gpu) == crew


def test_nobody_to_work() -> None:
    with pytest.raises(MissingError, match="no CPUs"):
        plan_crew([{"CPU": 0}], wants_gpu=False)
    assert Crew(3, 1, 3, 1).describe() == "3 workers on 1 machine"


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    path = write_colour_model(tmp_path / "A2B.onnx", RED, make_info("A2B"))
    return Parcel("A2B.onnx", path.read_bytes(), "cpu", False, {}, TileOption("auto"), "exact", None)


def work_on(worker: FolderWorker | FilmWorker, items: list[Any]) -> list[Any]:
    return [made for batch in worker(pack(items)) for made in unpack(batch)]


def test_what_travels_arrives_whole() -> None:
    items = [Path("a\udcff\n.png"), InputError("what", hint="hint"), b"\0\0"]
    path, error, data = unpack(pack(items))
    assert (path, error.what, error.hint, error.exit_code, data) == (items[0], "what", "hint", 3, b"\0\0")


def test_a_worker_does_jobs_and_keeps_a_manifest_of_its_machine(tmp_path: Path, parcel: Parcel) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        PilImage.new("RGB", (8, 6)).save(tmp_path / "in" / f"{name}.png")
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with shared(tmp_path / "in", out) as share:
        work = FolderWork(parcel, share, out, "1of2", Blend(), {"model": "tests"}, False)
        tasks = [Task(7 + n, located(job), False) for n, job in enumerate(jobs)]
        first, again = work_on(FolderWorker(work), tasks), work_on(FolderWorker(work), tasks)
    assert [(number, result.status) for number, result in first] == [(7, "made"), (8, "made")]
    assert [(number, result.status) for number, result in again] == [(7, "done before"), (8, "done before")]
    assert [path.name for path in out.glob(".sgt*")] == [f".sgt-manifest-1of2-{os.uname().nodename}.jsonl"]
    with Manifest(out) as manifest:
        assert all(manifest.find(job.output, job.target) for job in jobs)


def test_what_a_worker_cannot_do_is_handed_back(tmp_path: Path, parcel: Parcel) -> None:
    source = write_film(tmp_path / "in.mp4", noise_images(3))
    look, options = look_at(source), FilmOptions()
    window = plan_window(look, options, source)
    encoding, _ = plan_encoding(look, options, tmp_path / "out.mp4")
    plan = FilmPlan(source, look, window, encoding, None, 0.0, Blend())
    with shared(source, tmp_path) as share:
        work = FilmWork(parcel, share, tmp_path / "vanished", plan)
        stretches = [item for batch in search(pack([Search(plan, 0, None)])) for item in unpack(batch)]
        failure, *said = work_on(FilmWorker(work), stretches)
        assert isinstance(failure, Failure)
        assert isinstance(failure.error, OutputError)
        assert all("one colour" in line.line for line in said)
        source.unlink()
        (gone,) = [item for batch in search(pack([Search(plan, 0, None)])) for item in unpack(batch)]
        assert work_on(FilmWorker(work), [gone])[0].error.exit_code == 3


@pytest.mark.parametrize("kind", ["source", "target", "version", "model", "provider"])
def test_machines_that_differ_are_named(tmp_path: Path, parcel: Parcel, kind: str) -> None:
    from dataclasses import replace

    share = Shared(tmp_path, tmp_path / "A2B.onnx")
    machine = os.uname().nodename
    assert try_out(parcel, share).provider == "cpu"
    share, parcel, said = {
        "source": (replace(share, source=tmp_path / "other/%05d.png"), parcel, f"is not there on {machine}"),
        "target": (replace(share, mark=tmp_path / "other/.mark"), parcel, f"is another folder on {machine}"),
        "version": (share, replace(parcel, version="0.0"), f"{machine} has stylegan-tool"),
        "model": (share, replace(parcel, content=b"?"), "A2B.onnx"),
        "provider": (share, replace(parcel, ran_on="cuda"), f"{machine} runs the model on CPU"),
    }[kind]
    with pytest.raises(SgtError, match=said) as caught:
        try_out(parcel, share)
    assert caught.value.hint


def test_the_mark_goes_with_the_work(tmp_path: Path) -> None:
    with shared(tmp_path, tmp_path / "out") as share:
        share.check()
        assert share.mark.exists()
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/out"), shared(tmp_path, tmp_path / "file/out"):
        pass


# The command line -----------------------------------------------------------------------------------------


@pytest.fixture
def place(in_folder: Path) -> Path:
    (in_folder / "photos").mkdir()
    PilImage.new("RGB", (8, 6)).save(in_folder / "photos/a.png")
    write_film(in_folder / "in.mp4", [np.zeros((16, 16, 3), np.uint8)] * 2)
    write_colour_model(in_folder / "A2B.onnx", RED, make_info("A2B"))
    return in_folder


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        pytest.param("images photos/a.png out --ray local", 2, "--ray is for folders", id="one-picture"),
        pytest.param("images photos out --ray local --plan", 2, "--plan is not for --ray", id="plan"),
        pytest.param("images photos out --ray local --device-id 0", 2, "--device-id is not", id="device"),
        pytest.param("video in.mp4 out.mp4 --ray local --report r", 2, "--report is not", id="report"),
        pytest.param("images photos out --ray ray://here:10001", 2, "neither auto, local nor HOST:PORT", id="scheme"),
        pytest.param("video in.mp4 out.mp4 --ray here", 2, "neither auto, local nor HOST:PORT", id="no-port"),
        pytest.param("images photos out --ray 127.0.0.1:PORT", 7, "no Ray cluster at 127.0.0.1", id="nobody-there"),
    ],
)
def test_what_is_refused(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # as if Ray were there
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and not listened to
        words = typed.replace("PORT", str(free.getsockname()[1]), typed.count("127")).split()
        assert main([*words, "--model", "A2B.onnx"]) == code
    assert said in capsys.readouterr().err
    assert not (place / "out").exists()
    assert not (place / "out.mp4").exists()


def test_without_ray_the_line_to_install_it_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["images", "photos", "out", "--model", "A2B.onnx", "--ray", "local"]) == 7
    assert "pip install 'stylegan-tool[ray]'" in capsys.readouterr().err


def test_ray_is_imported_only_for_ray(place: Path) -> None:
    code = (
        "import sys; from stylegan_tool.__main__ import main\n"
        "assert main(['images', 'photos', 'out', '--model', 'A2B.onnx']) == 0\n"
        "import stylegan_tool.cluster.film, stylegan_tool.cluster.folder, stylegan_tool.cluster.workers\n"
        "assert not {'ray', 'pyarrow', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=place)
