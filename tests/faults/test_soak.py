"""A hundred cases of bad input, the same each time; `make soak` has a thousand, and others by their seed."""

import pytest

from tests.faults.corpus import FAMILIES
from tests.faults.soak import Verdict, choose, figure, run_all


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    return list(run_all(choose(100, None), seed=0, jobs=2))


def test_the_figure(verdicts: list[Verdict], capsys: pytest.CaptureFixture[str]) -> None:
    text = figure(verdicts, sum(one.seconds for one in verdicts))
    with capsys.disabled():
        print(f"\n{text}")
    assert len(verdicts) == 100


@pytest.mark.parametrize("family", FAMILIES)
def test_bad_input_ends_rightly(family: str, verdicts: list[Verdict]) -> None:
    ours = [one for one in verdicts if one.family == family]
    assert ours
    wrong = [str(one) for one in ours if one.complaints]
    assert not wrong, "\n".join(wrong)
