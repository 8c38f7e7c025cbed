"""`sgt images` and `sgt video` on a Ray cluster of two workers: the same results, also where one is killed."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.cluster.workers import pack, unpack
from stylegan_tool.pixels import Image
from tests.films import damage, write_film
from tests.models import make_info, write_blur_model
from tests.stylegan_tool.cluster.conftest import one_killed
from tests.stylegan_tool.film.test_going_on import pixels_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray warns of itself

N_PICTURES = 24


@pytest.fixture
def place(in_folder: Path) -> Path:
    write_blur_model(in_folder / "A2B.onnx", 6, make_info("A2B"))
    return in_folder


# Folders ------------------------------------------------------------------------------------------------


def write_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(N_PICTURES):
        path = folder / f"{i % 3}" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.fromarray(rng.integers(0, 256, (300, 400, 3), np.uint8)).save(path, compress_level=1)
    (folder / "broken.png").write_bytes(b"no picture")


def images(*more: str, out: str) -> int:
    return main(["images", "photos", out, "--model", "A2B.onnx", "--report", f"{out}.json", *more])


def snapshot(folder: Path) -> dict[str, bytes]:
    # Hidden are manifests, and what a killed worker had not finished: never under a result's name.
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".sgt-")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def read_report(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the counts, and what is said of each file but when and how."""
    report = json.loads(path.read_text())
    told = ("input", "width", "height", "bytes", "blake2b", "error")
    return report["counts"], [
        {key: str(file.get(key)).replace(f"{path.parent}/", "") for key in told} for file in report["files"]
    ]


def test_a_folder_survives_a_killed_worker(place: Path, address: str, capfd: pytest.CaptureFixture[str]) -> None:
    write_photos(place / "photos")
    assert images(out="one") == 6
    capfd.readouterr()
    with one_killed(lambda: len(list((place / "two").rglob("*.png"))) >= 4) as killed:
        assert images("--ray", address, out="two") == 6
    out, err = capfd.readouterr()
    assert killed
    assert out == ""
    assert err.splitlines()[:3] == [
        f"photo -> vangogh (A2B), model A2B.onnx, Ray at {address}",
        "2 workers on 2 machines, CPU",
        f"failed: cannot read {place}/photos/broken.png: it is not a picture of a kind that is read",
    ]
    assert "ray" not in "".join(err.splitlines()[2:]).lower()
    assert snapshot(place / "two") == snapshot(place / "one")
    (one, files), (two, others) = read_report(place / "one.json"), read_report(place / "two.json")
    assert files == others
    assert one == {"made": N_PICTURES, "failed": 1}
    assert two["made"] + two.get("done before", 0) == N_PICTURES
    # What is done is done, whoever looks.
    assert images(out="two") == 6
    assert read_report(place / "two.json")[0] == {"done before": N_PICTURES, "failed": 1}


def test_a_folder_that_one_machine_began_is_finished_by_several(place: Path, address: str) -> None:
    write_photos(place / "photos")
    (place / "photos/broken.png").unlink()
    assert images("--shard", "1/2", out="two") == 0
    half = read_report(place / "two.json")[0]["made"]
    done = min((place / "two").rglob("*.png"))
    changed = done.relative_to(place / "two")
    PilImage.new("RGB", (30, 20)).save(place / "photos" / changed)
    assert images("--ray", address, out="two") == 0
    assert read_report(place / "two.json")[0] == {"done before": half - 1, "made": N_PICTURES - half + 1}
    done.write_bytes(b"somebody's")
    assert images("--ray", address, out="two") == 5


def test_what_ends_the_work_is_told_as_by_one_machine(
    place: Path, address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write_photos(place / "photos")
    typed = ("--tile", "32", "--tile-stats", "local")
    assert images(*typed, out="one") == images(*typed, "--ray", address, out="two") == 2
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("sgt: ")]
    assert len(said) == 2
    assert len(set(said)) == 1
    assert list(place.glob("two/.sgt*shared")) == []


# Films --------------------------------------------------------------------------------------------------


def scenes(lengths: list[int]) -> list[Image]:
    rng = np.random.default_rng(0)
    drawn = [np.repeat(np.repeat(rng.integers(0, 255, (12, 50, 3), np.uint8), 4, 0), 4, 1) for _ in lengths]
    return [scene[:, n : n + 64].copy() for scene, length in zip(drawn, lengths, strict=True) for n in range(length)]


def video(*more: str, out: str) -> int:
    return main(["video", "in.mp4", out, "--model", "A2B.onnx", *more])


def test_a_film_survives_a_killed_worker(place: Path, address: str, capfd: pytest.CaptureFixture[str]) -> None:
    damage(write_film(place / "in.mp4", scenes([121, 125, 40, 130]), tone_hz=440), [100, 246])
    assert video(out="one.mp4") == 6
    said = capfd.readouterr().err.splitlines()[-3:-1]
    with one_killed(lambda: bool(list(place.glob("two.mp4.sgt/0*.json")))) as killed:
        assert video("--ray", address, out="two.mp4") == 6
    assert killed
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[:2] == [
        f"photo -> vangogh (A2B), model A2B.onnx, Ray at {address}",
        "2 workers on 2 machines, CPU",
    ]
    assert err.splitlines()[-2] == said[-1].replace("one.mp4", "two.mp4")
    assert pixels_of(place / "two.mp4") == pixels_of(place / "one.mp4")
    assert sorted(path.name for path in place.glob("*two*")) == ["two.mp4"]
    assert list(place.glob(".sgt*shared")) == []


# Ray itself -------------------------------------------------------------------------------------------------


def test_both_workers_work_while_work_is_still_looked_for(address: str) -> None:
    from stylegan_tool.cluster.connection import Crew, connect

    class Worker:
        def __init__(self, told: str) -> None:
            self.told = told

        def __call__(self, batch: Any) -> Iterator[Any]:
            time.sleep(0.5)
            yield pack([(os.getpid(), self.told, item) for item in unpack(batch)])

    def search(batch: Any) -> Iterator[Any]:
        (count,) = unpack(batch)
        for number in range(count):
            time.sleep(0.2)
            yield pack([(os.getpid(), number)])

    with connect(address, print) as cluster:
        crew = cluster.plan_crew(wants_gpu=True, require_gpu=False)
        assert crew == Crew(2, 2, 1, 0)
        made = list(cluster.run(crew, [12], Worker, "told", batch_size=1, search=search))
    assert sorted(number for _, _, (_, number) in made) == list(range(12))
    assert {told for _, told, _ in made} == {"told"}
    assert len({worker for worker, _, _ in made}) == 2
    assert {worker for worker, _, _ in made}.isdisjoint({searcher for _, _, (searcher, _) in made})
