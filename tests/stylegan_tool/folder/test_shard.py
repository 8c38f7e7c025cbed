import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.errors import UsageError
from stylegan_tool.folder.shard import Shard


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 20))
def test_each_file_belongs_to_exactly_one_shard(names: list[str], count: int) -> None:
    shards = [Shard(number, count) for number in range(1, count + 1)]
    assert all(sum(name in shard for shard in shards) == 1 for name in names)


@given(st.text())
def test_one_shard_is_the_whole(name: str) -> None:
    assert name in Shard()


def test_shards_are_of_about_one_size() -> None:
    names = [f"folder/{i:06}.jpg" for i in range(16_000)]
    sizes = [sum(name in Shard(number, 16) for name in names) for number in range(1, 17)]
    assert min(sizes) > 850
    assert max(sizes) < 1150


def test_a_files_shard_never_changes() -> None:
    # Runs of different versions and machines must agree.
    assert [number for number in range(1, 17) if "a/é.jpg" in Shard(number, 16)] == [4]


def test_how_a_system_writes_accents_does_not_matter() -> None:
    assert all(("\u00e9.jpg" in Shard(n, 7)) == ("e\u0301.jpg" in Shard(n, 7)) for n in range(1, 8))


def test_names_that_are_no_unicode_have_a_place() -> None:
    assert sum(b"\xff\xfe.jpg".decode("utf-8", "surrogateescape") in Shard(n, 3) for n in (1, 2, 3)) == 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "3/", "/3", "-1/4", "1/0", "0/0", "1/4/2", "a/b", "", "１/４"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


def test_a_shard_is_read_as_it_is_printed() -> None:
    assert Shard.parse(" 3/16 ") == Shard(3, 16)
    assert str(Shard(3, 16)) == "3/16"
