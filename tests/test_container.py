"""The image's recipe, as far as it can be held without a container engine: what it copies is enough to build the wheel.

The image itself is built and run by `make container`, on machines that have docker.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.models import REPOSITORY
from tests.wheels import build, contents

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def _instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with what follows it, continued lines joined, comments left out."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name]


def _copied() -> list[str]:
    """What the image takes from the checkout: files and folders in its root."""
    copies = [rest.split() for name, rest in _instructions() if name == "COPY" and not rest.startswith("--from=")]
    return [source for *sources, _ in copies for source in sources]


def test_its_instructions_are_docker_s() -> None:
    names = [name for name, _ in _instructions()]
    assert names[0] == "FROM"
    assert set(names) == {"FROM", "WORKDIR", "COPY", "ARG", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}


def test_it_takes_from_a_stage_that_it_has() -> None:
    stages = re.findall(r"(?m)^FROM \S+ AS (\w+)$", DOCKERFILE)
    assert re.findall(r"(?m)^COPY --from=(\w+) ", DOCKERFILE) == stages
    assert len(stages) == 1


def test_it_runs_sgt_and_not_as_root() -> None:
    last = dict(_instructions())
    assert json.loads(last["ENTRYPOINT"]) == ["sgt"]
    assert json.loads(last["CMD"]) == ["--help"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])


def test_what_it_copies_gets_there() -> None:
    """.dockerignore keeps everything out but what it names: that must be what is copied, no more and no less."""
    keep = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert keep[0] == "*"
    assert sorted(line[1:] for line in keep if line.startswith("!")) == sorted(_copied())


def test_what_it_copies_makes_the_same_wheel(tmp_path: Path) -> None:
    for folder in ("source", "here", "there"):
        (tmp_path / folder).mkdir()
    for name in _copied():
        source, target = REPOSITORY / name, tmp_path / "source" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    wheel = build(tmp_path / "source", "wheel", tmp_path / "there")
    assert contents(wheel) == contents(build(REPOSITORY, "wheel", tmp_path / "here"))


@pytest.mark.parametrize("variable", ["SGT_MODELS", "HOME"])
def test_what_is_kept_goes_where_everybody_may_write(variable: str) -> None:
    (folder,) = re.findall(rf"\b{variable}=(\S+)", dict(_instructions())["ENV"])
    assert folder in re.findall(r"install -d -m 1777 (.*)", DOCKERFILE)[0].split()
