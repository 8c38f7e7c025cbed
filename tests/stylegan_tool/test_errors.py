import errno
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.__main__ import exit_code
from stylegan_tool.errors import InputError, typed, visible, what_to_do


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("two\nlines", r"two\nlines", id="a line's end"),
        pytest.param("\x1b[31mred", r"\x1b[31mred", id="colours"),
        pytest.param("caf\udce9", r"caf\xe9", id="a byte that is not UTF-8"),
        pytest.param("\N{RIGHT-TO-LEFT OVERRIDE}gpj", r"\u202egpj", id="right to left"),
        pytest.param("\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}", "\N{WOMAN}\u200d\N{ROCKET}", id="an emoji of three"),
        pytest.param("写真　имя.jpg", "写真　имя.jpg", id="other scripts"),
    ],
)
def test_names_cannot_act_on_the_terminal(name: str, shown: str) -> None:
    assert visible(name) == shown
    assert str(InputError(name, hint=f"ls {name}")) == f"{shown}\n  ls {shown}"


def test_a_name_that_the_terminal_cannot_show_does_not_end_the_program(tmp_path: Path) -> None:
    for name in (b"caf\xe9.png", "写真.png".encode()):
        ran = subprocess.run(
            [sys.executable, "-m", "stylegan_tool", "images", bytes(tmp_path) + b"/" + name, "out"],
            capture_output=True,
            env={"PYTHONIOENCODING": "ascii:strict", "PATH": ""},
            check=False,
        )
        assert ran.returncode == 3
        assert b"Traceback" not in ran.stderr
        assert b"no such file" in ran.stderr


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        pytest.param(errno.ENOSPC, "df -h 'my films'", id="full"),
        pytest.param(errno.EDQUOT, "df -h 'my films'", id="quota"),
        pytest.param(errno.EACCES, "ls -ld 'my films'", id="rights"),
        pytest.param(errno.EROFS, "ls -ld 'my films'", id="read-only"),
        pytest.param(errno.ENOTDIR, "where a folder should be", id="file"),
        pytest.param(errno.ENAMETOOLONG, "shorter", id="long"),
        pytest.param(errno.EIO, "look at that disk: df -h 'my films'", id="other"),
        pytest.param(None, "look at that disk", id="not the system's"),
    ],
)
def test_a_failed_write_says_what_to_do_about_its_reason(failed: int | None, said: str) -> None:
    assert said in what_to_do(failed, Path("my films"))


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_what_is_typed_is_one_word_to_a_shell(name: str) -> None:
    assert shlex.split(typed(name)) == [name]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        pytest.param(OSError(errno.ENOSPC, "No space left", "a b/x"), 5, "cannot use a b/x: No space left", id="full"),
        pytest.param(OSError(errno.EROFS, "Read-only", b"a/\xe9"), 5, r"cannot use a/\xe9: Read-only", id="read-only"),
        pytest.param(OSError(errno.EACCES, "Denied", "a/x"), 3, "its folder: ls -ld a a/x", id="no"),
        pytest.param(OSError(errno.ENAMETOOLONG, "Too long", "x" * 300), 3, "Check the name", id="long"),
        pytest.param(OSError(errno.EIO, "Input/output error"), 3, "the system refused: Input/output", id="no name"),
        pytest.param(MemoryError(), 8, "out of memory", id="memory"),
    ],
)
def test_what_the_system_refuses_is_no_traceback(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise error

    assert exit_code(run) == code
    assert said in capsys.readouterr().err


def test_what_a_bug_may_have_caused_keeps_its_traceback() -> None:
    def run() -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")

    with pytest.raises(FileNotFoundError):
        exit_code(run)
