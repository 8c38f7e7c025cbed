from pathlib import Path

import pytest

from stylegan_tool.errors import ModelError, SgtError, UsageError
from stylegan_tool.models import bundled_styles, choose_model, find_run, list_runs, run_number
from tests.models import BLUE, RED, make_info, write_colour_model


@pytest.mark.parametrize(
    ("direction", "to", "expected"),
    [
        pytest.param(None, None, "A2B", id="A2B is the default"),
        pytest.param("A2B", None, "A2B", id="by letters"),
        pytest.param("B2A", None, "B2A", id="by letters, back"),
        pytest.param(None, "vangogh", "A2B", id="by name"),
        pytest.param(None, "Photo", "B2A", id="by name, back, in any case"),
        pytest.param("B2A", "photo", "B2A", id="by both"),
    ],
)
def test_direction_is_found(both_ways: Path, direction: str | None, to: str | None, expected: str) -> None:
    model = choose_model(str(both_ways), direction=direction, to=to)
    assert model.info.direction == expected
    assert model.path.name == f"{expected}.onnx"


def test_the_file_says_its_direction_not_its_name(tmp_path: Path) -> None:
    write_colour_model(tmp_path / "A2B.onnx", RED, make_info("B2A"))
    assert choose_model(str(tmp_path), to="photo").path.name == "A2B.onnx"
    with pytest.raises(ModelError, match="no direction A2B"):
        choose_model(str(tmp_path), direction="A2B")


def test_the_only_direction_needs_no_option(tmp_path: Path) -> None:
    path = write_colour_model(tmp_path / "some.onnx", BLUE, make_info("B2A"))
    assert choose_model(str(path)).info.direction == "B2A"


@pytest.mark.parametrize(
    ("direction", "to", "error", "message", "hint"),
    [
        pytest.param(None, "monet", ModelError, "no domain 'monet'", "--to vangogh", id="unknown domain"),
        pytest.param("A2B", "photo", UsageError, "makes vangogh, not photo", "--to photo", id="contradiction"),
    ],
)
def test_what_cannot_be_had_is_refused(
    both_ways: Path, direction: str | None, to: str, error: type[SgtError], message: str, hint: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        choose_model(str(both_ways), direction=direction, to=to)
    assert hint in caught.value.hint


def test_a_lacking_direction_is_exit_code_4(tmp_path: Path) -> None:
    path = write_colour_model(tmp_path / "A2B.onnx", RED, make_info("A2B"))
    with pytest.raises(ModelError, match="no direction B2A") as caught:
        choose_model(str(path), direction="B2A")
    assert caught.value.exit_code == 4
    assert "--direction A2B (--to vangogh)" in caught.value.hint


def test_somebody_elses_model_runs_but_its_direction_is_not_guessed(tmp_path: Path) -> None:
    path = write_colour_model(tmp_path / "A2B.onnx", RED, None)
    assert choose_model(str(path)).info.direction == ""
    with pytest.raises(ModelError, match="does not say its direction"):
        choose_model(str(path), direction="A2B")


def test_the_newest_exported_run_is_used_before_the_bundled_style(in_folder: Path) -> None:
    assert choose_model(None).label == "vangogh (bundled)"
    for name in ("photo2monet-002", "zebra-010", "photo2vangogh-009"):
        write_colour_model(in_folder / "runs" / name / "A2B.onnx", RED, make_info("A2B"))
    (in_folder / "runs" / "unfinished-011").mkdir()
    assert choose_model(None).label == str(Path("runs/zebra-010"))
    assert choose_model("photo2monet-002").path == Path("runs/photo2monet-002/A2B.onnx")
    assert choose_model("vangogh").label == "vangogh (bundled)"


@pytest.mark.parametrize(
    ("to", "direction", "label"),
    [
        ("monet", None, "monet (bundled)"),
        ("Monet", "A2B", "monet (bundled)"),
        ("vangogh", None, "vangogh (bundled)"),
        ("photo", None, "vangogh (bundled)"),
    ],
)
@pytest.mark.usefixtures("in_folder")
def test_a_domain_alone_finds_the_style_that_makes_it(to: str, direction: str | None, label: str) -> None:
    model = choose_model(None, direction=direction, to=to)
    assert model.label == label
    assert model.info.target == to.lower()


@pytest.mark.usefixtures("in_folder")
def test_a_domain_that_nobody_makes_is_refused() -> None:
    with pytest.raises(ModelError, match="no domain 'cezanne'"):
        choose_model(None, to="cezanne")
    with pytest.raises(UsageError, match="direction B2A of monet"):
        choose_model(None, direction="B2A", to="monet")
    with pytest.raises(ModelError, match="no domain 'monet'"):
        choose_model("vangogh", to="monet")


def test_unknown_names_say_what_there_is(in_folder: Path) -> None:
    with pytest.raises(ModelError, match="no model rembrandt") as caught:
        choose_model("rembrandt")
    assert "vangogh" in caught.value.hint
    (in_folder / "runs" / "photo2vangogh-001").mkdir(parents=True)
    with pytest.raises(ModelError) as caught:
        choose_model("runs/photo2vangogh-001")
    assert "sgt export runs/photo2vangogh-001" in caught.value.hint


def test_a_damaged_file_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "A2B.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"A2B\.onnx is no ONNX model, or a damaged one"):
        choose_model(str(path))


def test_the_bundled_style_states_its_contract() -> None:
    folder = bundled_styles()["vangogh"]
    for direction, source in (("A2B", "photo"), ("B2A", "vangogh")):
        model = choose_model(str(folder), direction=direction)
        assert (model.info.source, model.info.direction) == (source, direction)
        assert float(model.info.parity_max_abs) <= 1e-4
        assert model.info.data_license
        assert model.path.stat().st_size <= 4_000_000


def test_runs_are_ordered_by_their_number(tmp_path: Path) -> None:
    for name in ("b-002", "a-010", "c-001", "notes", "a-1"):
        (tmp_path / name).mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["c-001", "b-002", "a-010"]
    assert run_number(tmp_path / "a-1000") == 1000


def test_a_run_is_found_by_path_or_by_name(in_folder: Path) -> None:
    (in_folder / "runs" / "photo2vangogh-001").mkdir(parents=True)
    assert find_run("photo2vangogh-001") == Path("runs/photo2vangogh-001")
    assert find_run("runs/photo2vangogh-001") == Path("runs/photo2vangogh-001")
    assert find_run("nowhere") == Path("nowhere")
