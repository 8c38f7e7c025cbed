import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.errors import InputError
from stylegan_tool.image_files.naming import SUFFIXES, WRITTEN_SUFFIXES, find_pictures, output_name
from stylegan_tool.image_files.reading import read_picture


def test_pictures_are_found_sorted_without_hidden_ones_and_links_in_a_circle_end(tmp_path: Path) -> None:
    for name in ("b/x.PNG", "a.jpg", "b/.hidden.jpg", ".git/x.jpg", "b/notes.txt", "c d/写真.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a_link").symlink_to(tmp_path / "b")
    (tmp_path / "b/up").symlink_to(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert names == ["a.jpg", "b/x.PNG", "c d/写真.webp"]


def test_a_linked_folder_from_elsewhere_is_searched(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.jpg").touch()
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
    assert find_pictures(tmp_path / "here") == [tmp_path / "here/link/x.jpg"]


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path(__file__)):
        with pytest.raises(InputError, match="cannot list"):
            find_pictures(path)


def test_a_link_in_a_circle_is_listed_and_refused_by_name(tmp_path: Path) -> None:
    link = tmp_path / "circle.png"
    link.symlink_to(link)
    assert find_pictures(tmp_path) == [link]
    with pytest.raises(InputError, match=r"circle\.png"):
        read_picture(link)


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ("a/x.jpg", "a/x.jpg"),
        ("a/x.JPG", "a/x.JPG"),
        ("a/x.png", "a/x.png"),
        ("shot.v2.png", "shot.v2.png"),
        ("x.gif", "x.gif.png"),
        ("X.GIF", "X.GIF.png"),
        ("x.gif.png", "x.gif.png.png"),
        ("x.jpg.png", "x.jpg.png"),
    ],
)
def test_outputs_keep_their_names_where_the_suffix_can_be_written(relative: str, expected: str) -> None:
    assert output_name(Path(relative)) == Path(expected)


_stems = st.text(alphabet=string.ascii_letters + "._ -é", min_size=1, max_size=4).filter(lambda s: s[0] != ".")
_suffixes = st.sampled_from(sorted(SUFFIXES)).flatmap(lambda s: st.sampled_from([s, s.upper()]))
_names = st.builds(
    lambda folder, stem, suffixes: Path(folder) / (stem + "".join(suffixes)),
    st.sampled_from(["", "a", "a/b"]),
    _stems,
    st.lists(_suffixes, min_size=1, max_size=3),
)


@given(st.lists(_names, min_size=2, max_size=12, unique=True))
def test_no_two_inputs_share_an_output(names: list[Path]) -> None:
    outputs = [output_name(name) for name in names]
    assert len(set(outputs)) == len(outputs)
    for name, output in zip(names, outputs, strict=True):
        assert output.parent == name.parent
        assert output.name.startswith(name.name)
        assert output.suffix.lower() in WRITTEN_SUFFIXES


def test_a_folder_below_that_cannot_be_listed_is_one_refusal_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    (tmp_path / "a.jpg").touch()
    scandir = os.scandir

    def denying(path: Path) -> object:
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denying)
    assert find_pictures(tmp_path) == [tmp_path / "a.jpg", locked]
    with pytest.raises(InputError, match="locked: permission denied") as caught:
        read_picture(locked)
    assert caught.value.hint.endswith(f"chmod u+rX {locked}")
