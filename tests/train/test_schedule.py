import pytest

from stylegan_train.schedule import lr_factor


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 1), (99, 1), (100, 1), (101, 0.99), (125, 0.75), (150, 0.5), (199, 0.01), (200, 0)]
)
def test_the_papers_schedule(epoch: int, expected: float) -> None:
    assert lr_factor(epoch, epochs=200, decay_from=100) == pytest.approx(expected, abs=1e-12)


def test_it_may_fall_from_the_start_or_never() -> None:
    assert [lr_factor(epoch, epochs=4, decay_from=0) for epoch in range(5)] == [1, 0.75, 0.5, 0.25, 0]
    assert [lr_factor(epoch, epochs=4, decay_from=4) for epoch in range(5)] == [1] * 5
    assert lr_factor(3, epochs=4, decay_from=100) == 1


def test_it_is_never_negative() -> None:
    assert lr_factor(7, epochs=4, decay_from=2) == 0
