"""The workflow files: they parse, run what the Makefile has, and on the versions of Python that pyproject.toml names.

What GitHub makes of them cannot be seen here.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.models import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
JOBS = [
    pytest.param(job, id=f"{path.stem}-{name}")
    for path in WORKFLOWS
    for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
]
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8")))


def _commands(job: dict[str, Any]) -> list[str]:
    return [line for step in job["steps"] for line in step.get("run", "").splitlines()]


def _python_versions() -> list[str]:
    """The minor versions of Python that pyproject.toml's classifiers name."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in project["classifiers"])
    return [match[1] for match in found if match]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert "push" in workflow[True]  # YAML 1.1 reads the word `on` as true


@pytest.mark.parametrize("job", JOBS)
def test_a_job_ends_and_its_actions_have_versions(job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 60
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert actions
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in actions)


@pytest.mark.parametrize("job", JOBS)
def test_a_job_runs_commands_that_there_are(job: dict[str, Any]) -> None:
    commands = _commands(job)
    assert commands
    for command in commands:
        program, *words = command.split()
        if program == "make":
            assert set(words) <= TARGETS
        else:
            assert command in {"pip install .", "sgt doctor", "sgt demo"} or (REPOSITORY / program).is_file()


def test_tests_and_wheel_run_on_every_python_that_is_promised() -> None:
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert len(_python_versions()) >= 3
    assert jobs["test"]["strategy"]["matrix"]["python"] == _python_versions()
    assert jobs["wheel"]["strategy"]["matrix"]["python"] == _python_versions()
    assert _commands(jobs["test"]) == [".ci/run"]
    assert _commands(jobs["wheel"]) == ["make wheel"]
