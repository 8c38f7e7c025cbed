from pathlib import Path

import pytest

from stylegan_tool.errors import ModelError, OutputError, UsageError
from stylegan_tool.installed import install_model, installed_models, models_folder, remove_model
from stylegan_tool.models import choose_model
from tests.models import RED, make_info, write_colour_model


@pytest.fixture
def red(tmp_path: Path) -> bytes:
    return write_colour_model(tmp_path / "red.onnx", RED, make_info("A2B")).read_bytes()


def test_an_installed_model_is_found_by_its_name(red: bytes) -> None:
    path = install_model("mine", "A2B", red)
    assert path == models_folder() / "mine" / "A2B.onnx"
    assert choose_model("mine", to="vangogh").path == path
    assert list(installed_models()) == ["mine"]
    assert [one.name for one in path.parent.iterdir()] == ["A2B.onnx"]


def test_a_model_of_no_known_direction(tmp_path: Path) -> None:
    foreign = write_colour_model(tmp_path / "red.onnx", RED, None).read_bytes()
    assert choose_model(str(install_model("foreign", "", foreign))).describe().endswith("model.onnx")
    assert choose_model("foreign").label == "foreign"


def test_nothing_is_overwritten_unasked(red: bytes) -> None:
    path = install_model("mine", "A2B", red)
    with pytest.raises(OutputError, match="there is a model"):
        install_model("mine", "A2B", b"other")
    assert path.read_bytes() == red
    install_model("mine", "A2B", b"other", overwrite=True)
    assert path.read_bytes() == b"other"


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_name_that_could_leave_the_folder_is_refused(red: bytes, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a model's name"):
        install_model(name, "A2B", red)


def test_removing(red: bytes) -> None:
    install_model("mine", "A2B", red)
    remove_model("mine")
    assert installed_models() == {}
    with pytest.raises(ModelError, match="no installed model mine"):
        remove_model("mine")


def test_a_folder_that_cannot_be_written(red: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SGT_MODELS", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot write"):
        install_model("mine", "A2B", red)
