import subprocess
import sys
from pathlib import Path

import pytest

from stylegan_tool.errors import InputError, visible


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
