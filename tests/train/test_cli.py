"""`sgt train`: what it takes, what it refuses and with which exit code, and what it leaves on the disk."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from stylegan_tool.__main__ import main
from stylegan_train.checkpoint import read_plain
from stylegan_train.config import read_config
from tests.train.sets import TINY, count_files, make_set, train_until
from tests.train.test_checkpoint import Hostile

RUN = Path("runs/photo2vangogh-001")
RESUME = ["train", "photo2vangogh", "--resume"]


@pytest.fixture
def stopped(with_set: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run that was stopped after its first epoch."""
    train_until(monkeypatch, 3, [*TINY, "--epochs", "2"])
    return with_set


def test_a_dry_run_prints_the_options_and_writes_nothing(with_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = count_files(with_set)
    options = ["--epochs", "30", "--lr", "1e-3", "--betas", "0.4,0.9", "--load-size", "40-60", "--seed", "7"]
    assert main([*TINY, *options, "--dry-run"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["name"], fields["domain_a"], fields["domain_b"]) == ("photo2vangogh", "photo", "vangogh")
    assert (fields["epochs"], fields["decay_from"], fields["lr"], fields["betas"]) == (30, 15, 1e-3, [0.4, 0.9])
    assert (fields["load_size"], fields["crop_size"], fields["seed"]) == ([40, 60], 32, 7)
    assert fields["data"] == str(with_set / "datasets" / "photo2vangogh")
    assert fields["exchanged"] is False
    assert count_files(with_set) == before


OVERRIDES = {
    "--n-blocks": ("n_blocks", "3", 3),
    "--ngf": ("ngf", "6", 6),
    "--lr": ("lr", "0.001", 0.001),
    "--betas": ("betas", "0.4,0.9", [0.4, 0.9]),
    "--lambda-cycle": ("lambda_cycle", "7", 7.0),
    "--lambda-identity": ("lambda_identity", "0", 0.0),
    "--lambda-stable": ("lambda_stable", "3", 3.0),
    "--average": ("average", "0.999", 0.999),
    "--augment": ("augment", "flip,colour", ["flip", "colour"]),
    "--init": ("init", "vangogh", "vangogh"),
    "--validate-every": ("validate_every", "0", 0),
    "--metric": ("metric", "b2a", "b2a"),
    "--workers": ("workers", "0", 0),
    "--load-size": ("load_size", "300", [300, 300]),
    "--crop-size": ("crop_size", "128", 128),
    "--batch-size": ("batch_size", "4", 4),
    "--pool-size": ("pool_size", "0", 0),
    "--precision": ("precision", "bf16", "bf16"),
    "--seed": ("seed", "5", 5),
    "--epochs": ("epochs", "100", 100),
    "--decay-from": ("decay_from", "20", 20),
}


def _resolve(argv: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main(["train", "photo2vangogh", *argv, "--dry-run"]) == 0
    fields: dict[str, object] = json.loads(capsys.readouterr().out)
    return fields


@pytest.mark.parametrize("option", OVERRIDES)
def test_an_option_changes_its_field_and_no_other(
    option: str, with_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    field, text, value = OVERRIDES[option]
    plain = _resolve([], capsys)
    changed = _resolve([option, text], capsys)
    expected = {**plain, field: value}
    if option == "--epochs":
        expected["decay_from"] = 50  # half of it
    assert changed == expected
    assert changed != plain


def test_more_options_change_their_fields(with_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = _resolve([], capsys)
    assert _resolve(["--antialias"], capsys) == {**plain, "antialias": True}
    assert _resolve(["--compile"], capsys) == {**plain, "compile": True}
    assert _resolve(["--augment", "none"], capsys) == {**plain, "augment": []}
    sizes = {"load_size": [256, 384], "load_size_b": [256, 256]}
    assert _resolve(["--load-size", "256-384,256"], capsys) == {**plain, **sizes}


@pytest.mark.parametrize(("preset", "size"), [("reference", (64, 9)), ("compact", (24, 5)), ("tiny", (4, 1))])
def test_presets_size_the_networks(
    preset: str, size: tuple[int, int], with_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = _resolve(["--preset", preset], capsys)
    assert (fields["preset"], fields["ngf"], fields["n_blocks"]) == (preset, *size)
    assert (fields["epochs"], fields["decay_from"]) == (200, 100)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--preset", "huge"], "reference, compact, tiny", id="unknown preset"),
        pytest.param(["--ngf", "0"], "--ngf", id="out of range"),
        pytest.param(["--lambda-stable", "-1"], "--lambda-stable", id="negative weight"),
        pytest.param(["--lr", "nan"], "--lr", id="no number"),
        pytest.param(["--epochs", "many"], "--epochs", id="text for a number"),
        pytest.param(["--betas", "0.5"], "--betas", id="one beta"),
        pytest.param(["--betas", "0.5,0.9,0.99"], "--betas", id="three betas"),
        pytest.param(["--betas", "a,b"], "--betas", id="betas that are text"),
        pytest.param(["--betas", ""], "--betas", id="no betas"),
        pytest.param(["--load-size", "nan"], "--load-size", id="load size is no number"),
        pytest.param(["--load-size", "40.5"], "--load-size", id="half a pixel"),
        pytest.param(["--load-size", "40-50-60"], "--load-size", id="three load sizes"),
        pytest.param(["--load-size", ""], "--load-size", id="no load size"),
        pytest.param(["--load-size", "60-40"], "--load-size", id="range backwards"),
        pytest.param(["--load-size", "20"], "--load-size", id="smaller than the crop"),
        pytest.param(["--precision", "fp8"], "--precision", id="unknown precision"),
    ],
)
def test_usage_errors_are_2_and_name_the_option(
    options: list[str], said: str, with_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*TINY, *options]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert not Path("runs").exists()


# --- data sets ------------------------------------------------------------------------------------


def test_a_missing_set_is_3_and_says_how_to_lay_one_out(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TINY) == 3
    message = capsys.readouterr().err
    for part in ("photo2vangogh", "vangogh2photo", "datasets", "trainA", "trainB", "--data"):
        assert part in message
    assert count_files(in_folder) == 0


def test_both_directions_there_is_2(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("photo2vangogh", "vangogh2photo"):
        make_set(in_folder / "datasets" / name)
    assert main(TINY) == 2
    message = capsys.readouterr().err
    assert "datasets/photo2vangogh and datasets/vangogh2photo" in message
    assert not Path("runs").exists()


def test_an_exchanged_set_is_said_and_stored(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_set(in_folder / "datasets" / "vangogh2photo", 3, 2)
    assert main([*TINY, "--epochs", "1"]) == 0
    line = "photo (A, 2 pictures) <-> vangogh (B, 3 pictures)"
    exchanged = "the folder's sides are exchanged: its A is vangogh"
    for said in (capsys.readouterr().err, (RUN / "log.txt").read_text(encoding="utf-8")):
        assert line in said
        assert exchanged in said
    config = read_config(RUN / "config.json")
    assert (config.domain_a, config.domain_b, config.exchanged) == ("photo", "vangogh", True)


def test_any_folders_name_can_be_trained(in_folder: Path) -> None:
    make_set(in_folder / "mine" / "garden2jungle")
    options = ["--data", "mine", "--preset", "tiny", "--epochs", "1"]
    assert main(["train", "garden2jungle", *options]) == 0
    config = read_config(Path("runs/garden2jungle-001/config.json"))
    assert (config.domain_a, config.domain_b) == ("garden", "jungle")


def _spoil(folder: Path) -> list[str]:
    """Break one picture of each side; return their names."""
    (folder / "trainA" / "1.png").write_bytes(b"no picture")
    whole = (folder / "testB" / "0.png").read_bytes()
    (folder / "testB" / "0.png").write_bytes(whole[: len(whole) // 2])
    return [str(Path("trainA") / "1.png"), str(Path("testB") / "0.png")]


def test_unreadable_pictures_are_named_before_training(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoilt = _spoil(make_set(in_folder / "datasets" / "photo2vangogh", 3, 2, n_test=2))
    assert main([*TINY, "--epochs", "1"]) == 3
    message = capsys.readouterr().err
    assert all(sum(name in line for line in message.splitlines()) == 1 for name in spoilt)
    assert "2 pictures" in message
    assert "--skip-bad" in message
    assert not Path("runs").exists()


def test_skip_bad_leaves_them_out(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoilt = _spoil(make_set(in_folder / "datasets" / "photo2vangogh", 3, 2, n_test=2))
    assert main([*TINY, "--epochs", "1", "--skip-bad"]) == 0
    message = capsys.readouterr().err
    assert all(name in message for name in spoilt)
    assert "photo (A, 2 pictures) <-> vangogh (B, 2 pictures)" in message


def test_skip_bad_needs_a_good_picture_on_each_side(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_set(in_folder / "datasets" / "photo2vangogh", 2, 1)
    (folder / "trainB" / "0.png").write_bytes(b"no picture")
    assert main([*TINY, "--skip-bad"]) == 3
    assert f"no picture in {Path('datasets/photo2vangogh/trainB')} can be read" in capsys.readouterr().err


# --- resume ---------------------------------------------------------------------------------------


def test_what_made_a_run_cannot_change_in_its_middle(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in RUN.rglob("*") if path.is_file()}
    assert main([*RESUME, "--lr", "1e-3", "--batch-size", "2", "--preset", "compact"]) == 2
    assert "--batch-size, --lr, --preset cannot change" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in RUN.rglob("*") if path.is_file()} == before


def test_more_epochs_show_in_a_dry_run_and_are_not_stored_by_it(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*RESUME, "--epochs", "9", "--decay-from", "4", "--dry-run"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["epochs"], fields["decay_from"]) == (9, 4)
    assert read_config(RUN / "config.json").epochs == 2


def test_a_name_goes_on_with_its_newest_run(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "--epochs", "1"]) == 0
    make_set(stopped / "datasets" / "garden")
    assert main(["train", "garden", "--preset", "tiny", "--epochs", "1"]) == 0
    capsys.readouterr()
    assert main([*RESUME, "--epochs", "2"]) == 0
    assert "runs/photo2vangogh-002: preset tiny" in capsys.readouterr().err
    assert main(["train", f"{RUN}", "--resume"]) == 0
    assert "runs/photo2vangogh-001: preset tiny" in capsys.readouterr().err


def test_a_run_without_a_state_is_passed_over_and_a_number_names_a_run(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    died = RUN.with_name("photo2vangogh-002")
    died.mkdir()
    (died / "config.json").write_bytes((RUN / "config.json").read_bytes())
    capsys.readouterr()
    for name in ("photo2vangogh", RUN.name):
        assert main(["train", name, "--resume", "--dry-run"]) == 0
    assert main(RESUME) == 0
    assert f"{RUN}: preset tiny" in capsys.readouterr().err
    assert main(["train", died.name, "--resume"]) == 0  # named, it is not passed over
    assert "runs/photo2vangogh-002 was stopped before its first step: it begins anew" in capsys.readouterr().err
    first, second = (torch.load(run / "checkpoint.pt", weights_only=True)["gen_ab"] for run in (RUN, died))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_nothing_to_go_on_with_is_3(with_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(RESUME) == 3
    message = capsys.readouterr().err
    assert "no run of photo2vangogh" in message
    assert "sgt train photo2vangogh" in message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"", id="empty"),
        pytest.param(b"no state", id="text"),
        pytest.param({"epoch": 1, "step": 0}, id="no networks"),
        pytest.param({"trainer": 3, "epoch": 1, "step": 0}, id="a number for the networks"),
        pytest.param([1, 2], id="a list"),
        pytest.param({"trainer": Hostile(Path("marker"))}, id="hostile"),
    ],
)
def test_a_damaged_state_is_3_and_nothing_of_it_runs(
    content: object, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (RUN / "training_state.pt", RUN / "training_state_before.pt"):
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
    assert main(RESUME) == 3
    message = capsys.readouterr().err
    assert "training_state.pt" in message
    assert "Traceback" not in message
    assert not Path("marker").exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: raw[:-5000], id="truncated"),
        pytest.param(lambda raw: raw[:50_000] + bytes([raw[50_000] ^ 1]) + raw[50_001:], id="one bit"),
    ],
)
def test_after_a_damaged_state_the_one_before_it_is_gone_on_from(
    damage: Callable[[bytes], bytes], stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, before = RUN / "training_state.pt", RUN / "training_state_before.pt"
    path.write_bytes(damage(path.read_bytes()))
    good = before.read_bytes()
    assert main([*RESUME, "--epochs", "1", "--dry-run"]) == 0
    capsys.readouterr()
    assert main(RESUME) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "cannot read" in line]
    assert f"cannot read {path}: " in line
    assert f"{before}" in line
    assert read_plain(path)["epoch"] == 2
    assert read_plain(before)["epoch"] == 1
    assert before.read_bytes() != good


def test_a_damaged_state_does_not_take_the_place_of_the_whole_one(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, before = RUN / "training_state.pt", RUN / "training_state_before.pt"
    path.write_bytes(b"damaged")
    good = before.read_bytes()
    train_until(monkeypatch, 1, RESUME)
    assert before.read_bytes() == good
    assert read_plain(path)["step"] == 1


def test_another_runs_state_is_3(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = RUN / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"ngf": 4', '"ngf": 5'), encoding="utf-8")
    assert main(RESUME) == 3
    assert "training_state.pt does not fit its run" in capsys.readouterr().err


def test_a_damaged_config_is_3(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (RUN / "config.json").write_text("{}", encoding="utf-8")
    assert main(RESUME) == 3
    assert "config.json" in capsys.readouterr().err


def test_a_set_that_has_gone_is_3_and_may_be_named_anew(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stopped / "moved").mkdir()
    (stopped / "datasets" / "photo2vangogh").rename(stopped / "moved" / "vangogh2photo")
    assert main(RESUME) == 3
    assert str(stopped / "datasets" / "photo2vangogh") in capsys.readouterr().err
    assert main([*RESUME, "--data", "moved"]) == 0
    assert "photo (A, 2 pictures) <-> vangogh (B, 3 pictures)" in capsys.readouterr().err
    config = read_config(RUN / "config.json")
    assert (config.data, config.exchanged) == (str(stopped / "moved" / "vangogh2photo"), True)


# --- torch ----------------------------------------------------------------------------------------


def test_without_torch_the_line_to_install_it_is_printed(
    with_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec

    def without_torch(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "torch" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_torch)
    assert main(TINY) == 7
    message = capsys.readouterr().err
    assert "pip install 'stylegan-tool[train]'" in message
    assert "Traceback" not in message
    assert not Path("runs").exists()


@pytest.mark.parametrize("options", [["--help"], ["--dry-run"], ["--ngf", "0"]], ids=["help", "dry run", "refusal"])
def test_what_needs_no_torch_does_not_wait_for_it(options: list[str], with_set: Path) -> None:
    code = f"import sys\nfrom stylegan_tool.__main__ import main\nmain({[*TINY, *options]!r})\n"
    code += "assert 'stylegan_train.cli' in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
