import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from stylegan_tool.__main__ import main
from stylegan_tool.evaluation import Sets, draw_pictures, open_sets
from stylegan_tool.inception_weights import URL, WEIGHTS, weights_place
from tests.models import make_info, write_blur_model


def write_pictures(folder: Path, count: int, seed: int) -> None:
    """Write pictures of soft noise with a grain, a little larger than they are compared."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for i in range(count):
        soft = PilImage.fromarray(rng.integers(0, 200, (12, 16, 3), np.uint8)).resize((300, 260))
        grain = rng.integers(0, 55, (260, 300, 3), np.uint8)
        PilImage.fromarray(np.asarray(soft) + grain).save(folder / f"{i:02}.png")


@pytest.fixture
def folders(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """trainB of 7, testB of 4, testA of 6 pictures, and a run with a model that blurs; no Inception weights."""
    monkeypatch.setenv("TORCH_HOME", str(in_folder / "torch"))
    for name, count, seed in (("trainB", 7, 1), ("testB", 4, 2), ("testA", 6, 3)):
        write_pictures(in_folder / name, count, seed)
    for direction in ("A2B", "B2A"):
        write_blur_model(in_folder / "run" / f"{direction}.onnx", 4, make_info(direction))
    return in_folder


@pytest.fixture
def weights(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the weights' place, and its digest taken for theirs."""
    path = weights_place()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    monkeypatch.setattr("stylegan_tool.inception_weights.WEIGHTS_SHA256", hashlib.sha256(b"weights").hexdigest()[:8])
    return path


COMMON = ["evaluate", "run", "--source", "testA", "--target", "trainB", "--draws", "2"]
HELD_BACK = ["--held-back", "testB"]


def test_figures_and_protocol(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "run" / "config.json").write_text('{"lambda_identity": 2.5}')
    assert main([*COMMON, *HELD_BACK, "--json", "figures.json"]) == 0
    said = capsys.readouterr()
    assert "photo -> vangogh (A2B), model run" in said.err
    report = json.loads((folders / "figures.json").read_text())
    assert report["protocol"]["N"] == 4
    result, source, floor = (report["swd"][name] for name in ("result", "source", "floor"))
    assert list(result["levels"]) == ["256", "128", "64", "32", "16"]
    assert result["levels"]["256"] > 1.5 * source["levels"]["256"]  # it blurs
    assert result["mean"] == pytest.approx(np.mean(list(result["levels"].values())))
    assert result["over_floor"] == pytest.approx(result["mean"] / floor["mean"])
    assert len(result["draws"]) == 2
    assert set(report["colour"]) == {"result", "source", "reference", "floor"}
    assert report["colour"]["result"]["mean"] == pytest.approx(report["colour"]["source"]["mean"], abs=3)
    rows = [line.split()[0] for line in said.out.splitlines()[:6]]
    assert rows == ["SWD", "result", "source", "floor", "result", "source"]
    for words in ("identity weight: 2.5", "N: 4", "trainB: 7 pictures, all of them", "bicubic", "seed 0"):
        assert words in said.out


def test_without_held_back_there_is_no_floor(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(COMMON) == 0
    said = capsys.readouterr().out
    assert "/ floor" not in said
    assert "floor: not measured" in said
    assert "identity weight: not known" in said
    assert "N: 6" in said


def test_the_seed_decides_the_figures(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = []
    for seed in ("1", "1", "2"):
        assert main([*COMMON, "--pictures", "3", "--seed", seed]) == 0
        tables.append(capsys.readouterr().out.splitlines()[:3])
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


def test_a_floor_beside_them_changes_no_figure(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = []
    for more in ([], HELD_BACK):
        assert main([*COMMON, "--pictures", "3", *more]) == 0
        tables.append([line.split() for line in capsys.readouterr().out.splitlines()[1:3]])
    assert tables[0] == tables[1]


def test_the_direction_is_chosen(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMON, "--to", "photo"]) == 0
    assert "vangogh -> photo (B2A)" in capsys.readouterr().out


def test_halves_have_nothing_in_common(folders: Path) -> None:
    first, second = (
        open_sets(folders / "testA", folders / "trainB", folders / "testB", half) for half in ("first", "second")
    )
    assert [path.name for path in first.source] == ["00.png", "02.png", "04.png"]
    assert [path.name for path in second.held_back] == ["01.png", "03.png"]
    assert len(first.target) == len(second.target) == 7


def test_draws_are_of_n_and_differ() -> None:
    paths = tuple(Path(str(i)) for i in range(20))
    draws = draw_pictures(Sets(paths, paths, ()), 5, 4, 0)
    assert {len(draw.source) for draw in draws} == {len(draw.target) for draw in draws} == {5}
    assert len({draw.source for draw in draws}) == 4
    assert draws[0].source != draws[0].target
    assert draws[0].held_back == ()


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        pytest.param(["--held-back", "trainB"], 2, "both in --target and in --held-back", id="held back in reference"),
        pytest.param(["--pictures", "7"], 2, "more than the smallest set has, which is 6", id="too many pictures"),
        pytest.param(["--held-back", "nowhere"], 3, "nowhere", id="missing folder"),
        pytest.param(["--held-back", "empty"], 3, "no pictures in empty", id="empty folder"),
        pytest.param(["--held-back", "single", "--half", "second"], 2, "no second half", id="half of one"),
        pytest.param(["--json", "there.json"], 5, "there.json exists", id="would overwrite"),
        pytest.param(["--json", "no/where.json"], 5, "no such folder", id="no folder for the report"),
        pytest.param(["--inception", "no.pth"], 7, "no Inception weights: no.pth", id="missing weights"),
        pytest.param(["--inception", "there.json"], 3, "SHA-256 begins with 44136fa3", id="other weights"),
        pytest.param(["--to", "monet"], 4, "no domain 'monet'", id="unknown domain"),
    ],
)
def test_what_makes_no_sense_is_refused(
    folders: Path, argv: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folders / "empty").mkdir()
    write_pictures(folders / "single", 1, 4)
    (folders / "there.json").write_text("{}")
    assert main([*COMMON, *argv]) == code
    assert said in capsys.readouterr().err
    assert (folders / "there.json").read_text() == "{}"


def test_without_weights_one_line_says_which_file_goes_where(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMON, "--pictures", "2"]) == 0
    said = capsys.readouterr()
    (line,) = (line for line in said.err.splitlines() if "KID" in line)
    for words in (str(folders / "torch" / "hub" / "checkpoints" / WEIGHTS), f"Download {URL}", "--inception FILE"):
        assert words in line
    assert "FID" not in said.out
    assert not (folders / "torch").exists()


def test_without_torch_one_line_says_what_to_install(
    folders: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "stylegan_train.inception", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main([*COMMON, "--pictures", "2"]) == 0
    assert "stylegan-tool[metrics]" in capsys.readouterr().err
    assert main([*COMMON, "--inception", str(weights)]) == 7


def test_kid_and_fid_stand_beside_it(
    folders: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A small extractor and measures in place of Inception and its library.
    inception = pytest.importorskip("stylegan_train.inception")
    opened = []

    def load(path: Path) -> object:
        opened.append(path)
        return lambda batch: batch.float()

    monkeypatch.setattr(inception, "load_inception", load)
    monkeypatch.setattr(inception, "kid_and_fid", lambda one, other: (float(len(one)), float(len(other) + 1)))
    assert main([*COMMON, *HELD_BACK, "--json", "figures.json"]) == 0
    assert opened == [weights]
    out = capsys.readouterr().out
    assert "KID x1e3" in out
    assert WEIGHTS in out
    report = json.loads((folders / "figures.json").read_text())
    assert report["kid_x1e3"]["floor"] == {"mean": 4.0, "spread": 0.0, "draws": [4.0, 4.0]}
    assert [report["fid"][name]["mean"] for name in ("result", "source", "floor")] == [5.0, 5.0, 5.0]
    assert report["protocol"]["KID, FID"] == inception.PROTOCOL


def test_pictures_of_one_colour_have_no_ratio(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("grey1", "grey2"):
        (folders / name).mkdir()
        PilImage.new("RGB", (64, 64), (90, 90, 90)).save(folders / name / "0.png")
    argv = ["evaluate", "run", "--source", "testA", "--target", "grey1", "--held-back", "grey2", "--json", "g.json"]
    assert main(argv) == 0
    assert json.loads((folders / "g.json").read_text())["swd"]["result"]["over_floor"] is None
    assert "nan" in capsys.readouterr().out
