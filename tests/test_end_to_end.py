"""The whole way on pictures made on the spot: train, export, a folder, a film with sound."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from tests.films import write_film

N_FRAMES = 8


def _stripes(rng: np.random.Generator, size: tuple[int, int], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[: size[0], : size[1]]
    wave = np.sin(rows / rng.uniform(2, 6) + columns / rng.uniform(2, 6))[:, :, None]
    image: NDArray[np.uint8] = np.clip(np.array(colour) + 60 * wave, 0, 255).astype(np.uint8)
    return image


@pytest.fixture
def data_set(in_folder: Path) -> Path:
    """datasets/vangogh2photo as it is published: the paintings (red here) as A, the photos (blue) as B."""
    rng = np.random.default_rng(0)
    folder = in_folder / "datasets" / "vangogh2photo"
    for side, colour in (("A", (190, 60, 40)), ("B", (40, 60, 190))):
        for part, n in (("train", 4), ("test", 1)):
            (folder / f"{part}{side}").mkdir(parents=True)
            for i in range(n):
                picture = PilImage.fromarray(_stripes(rng, (48, 40), colour))
                picture.save(folder / f"{part}{side}" / f"{i}.png")
    return folder


def _rgb_means(path: Path) -> list[NDArray[np.float64]]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24").mean(axis=(0, 1)) for frame in film.decode(video=0)]


def test_train_export_images_video(data_set: Path, in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    epochs = ["--epochs", "30", "--lr", "2e-3", "--lambda-identity", "0", "--lambda-cycle", "1"]
    assert main(["train", "photo2vangogh", "--preset", "tiny", "--ngf", "8", *epochs]) == 0
    said = capsys.readouterr().err
    assert "photo (A, 4 pictures) <-> vangogh (B, 4 pictures)" in said
    assert "its A is vangogh" in said
    assert main(["export", "--onnx"]) == 0

    rng = np.random.default_rng(1)
    (in_folder / "photos").mkdir()
    PilImage.fromarray(_stripes(rng, (61, 83), (40, 60, 190))).save(in_folder / "photos" / "blue.png")
    assert main(["images", "photos", "painted", "--direction", "A2B"]) == 0
    with PilImage.open(in_folder / "painted" / "blue.png") as painted:
        assert painted.size == (83, 61)
        red, _, blue = np.asarray(painted).reshape(-1, 3).mean(axis=0)
    # A is photos (blue), although the folder has them as B: exchanged all the way from train to run.
    assert red > blue + 20

    frames = [np.roll(_stripes(np.random.default_rng(2), (48, 64), (40, 60, 190)), i, 1) for i in range(N_FRAMES)]
    write_film(in_folder / "in.mp4", frames, frame_rate=Fraction(25), tone_hz=440)
    assert main(["video", "in.mp4", "out.mp4", "--to", "vangogh"]) == 0
    assert "photo -> vangogh (A2B), model " + str(Path("runs/photo2vangogh-001")) in capsys.readouterr().err
    means = _rgb_means(in_folder / "out.mp4")
    assert len(means) == N_FRAMES
    assert all(mean[0] > mean[2] + 20 for mean in means)
    with av.open(str(in_folder / "in.mp4")) as source, av.open(str(in_folder / "out.mp4")) as result:
        video = result.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (64, 48, Fraction(25))
        sounds = [[bytes(packet) for packet in film.demux(audio=0) if packet.size] for film in (source, result)]
    assert sounds[0] == sounds[1]
    assert len(sounds[0]) > 5
    assert data_set.is_dir()
