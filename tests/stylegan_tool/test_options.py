import pytest

from stylegan_tool.errors import UsageError
from stylegan_tool.options import TileOption, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [("auto", TileOption("auto")), ("off", TileOption("off")), ("512", TileOption("fixed", 512))],
)
def test_tile_is_read(text: str, expected: TileOption) -> None:
    assert TileOption.parse(text) == expected


@pytest.mark.parametrize("text", ["", "8", "-512", "1.5", "big", "５１２"])
def test_other_tiles_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--tile"):
        TileOption.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("8G", 8 * 2**30), ("500m", 500 * 2**20), ("1.5 GiB", 3 * 2**29), ("2097152", 2**21)]
)
def test_memory_is_read(text: str, expected: int) -> None:
    assert parse_size(text.replace(" ", "")) == expected


@pytest.mark.parametrize("text", ["", "8 potatoes", "-1G", "1K", "0", "G", "1e9"])
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        parse_size(text)
