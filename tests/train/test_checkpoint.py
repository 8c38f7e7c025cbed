from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stylegan_tool.errors import InputError, ModelError
from stylegan_train.checkpoint import load_generator, read_plain, write_atomically
from stylegan_train.config import TrainConfig
from stylegan_train.networks import Generator


class Hostile:
    """Unpickling it writes a file; something worse would be as easy."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.marker, "ran")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.pt"
    write_atomically({"weights": torch.arange(2000.0), "epoch": 3, "list": [1, 2]}, path)
    return path


def test_what_is_written_is_read(good: Path) -> None:
    content = read_plain(good)
    assert torch.equal(content.pop("weights"), torch.arange(2000.0))
    assert content == {"epoch": 3, "list": [1, 2]}
    assert [path.name for path in good.parent.iterdir()] == ["good.pt"]


def test_the_old_file_may_be_kept(tmp_path: Path) -> None:
    newest, before = tmp_path / "newest.pt", tmp_path / "before.pt"
    for epoch in range(3):
        write_atomically({"epoch": epoch}, newest, keep_old=before)
        assert before.exists() == (epoch > 0)
    assert (read_plain(newest), read_plain(before)) == ({"epoch": 2}, {"epoch": 1})
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_leaves_the_old_file_and_no_other(good: Path) -> None:
    resource = pytest.importorskip("resource")
    before = good.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Only around the call: the limit is the whole process's, and pytest's own output may go to a file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically({"weights": torch.arange(9000.0)}, good)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert good.read_bytes() == before
    assert [path.name for path in good.parent.iterdir()] == ["good.pt"]


def test_a_hostile_pickle_is_not_executed(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "hostile.pt"
    torch.save({"gen_ab": Hostile(marker)}, path)
    torch.load(path, weights_only=False)
    assert marker.read_text() == "ran"  # hostile it is
    marker.unlink()
    with pytest.raises(InputError, match=r"hostile\.pt"):
        read_plain(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda raw: b"", id="empty"),
        pytest.param(lambda raw: raw[:100], id="cut at the start"),
        pytest.param(lambda raw: raw[: len(raw) // 2], id="cut in the middle"),
        pytest.param(lambda raw: raw[:-10], id="cut at the end"),
        pytest.param(lambda raw: raw[:4000] + bytes([raw[4000] ^ 4]) + raw[4001:], id="one bit of a weight"),
        pytest.param(lambda raw: b"no checkpoint", id="text"),
        pytest.param(lambda raw: b"\0" * len(raw), id="zeros"),
        pytest.param(lambda raw: b"\x80\x02K\x01.", id="a pickled number"),
        pytest.param(lambda raw: b"\x80\x02t.", id="a pickle without a mark"),
        pytest.param(lambda raw: b"\x80\x020.", id="a pickle that takes from nothing"),
    ],
)
def test_a_damaged_file_is_an_input_error(damage: Callable[[bytes], bytes], good: Path) -> None:
    good.write_bytes(damage(good.read_bytes()))
    with pytest.raises(InputError, match=r"good\.pt") as caught:
        read_plain(good)
    assert "\n" not in caught.value.what


def test_other_content_is_an_input_error(good: Path) -> None:
    write_atomically([torch.zeros(2)], good)
    with pytest.raises(InputError, match=r"good\.pt"):
        read_plain(good)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.pt") as caught:
        read_plain(tmp_path / "none.pt")
    assert "sgt train" in caught.value.hint


def test_a_generator_comes_back_in_eval_mode() -> None:
    trained = Generator(4, 1)
    loaded = load_generator(trained.state_dict(), TrainConfig(ngf=4, n_blocks=1))
    assert not loaded.training
    assert all(map(torch.equal, trained.parameters(), loaded.parameters()))


@pytest.mark.parametrize("fields", [{"ngf": 8, "n_blocks": 1}, {"ngf": 4, "n_blocks": 2}])
def test_another_networks_weights_are_a_model_error(fields: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=rf"{fields['ngf']} filters and {fields['n_blocks']} blocks"):
        load_generator(Generator(4, 1).state_dict(), TrainConfig(ngf=fields["ngf"], n_blocks=fields["n_blocks"]))
