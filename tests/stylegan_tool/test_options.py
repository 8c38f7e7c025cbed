import pytest

from stylegan_tool.errors import UsageError
from stylegan_tool.options import TileOption


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
