"""Films joined of segments."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.film.joining import decoding_times


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40), st.integers(0, 6), st.integers(1, 900))
def test_decoding_times_grow_and_lag_by_the_delay(gaps: list[int], delay: int, step: int) -> None:
    pts = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    times = list(decoding_times(pts, delay, step))
    assert len(times) == len(pts)
    assert all(before < after for before, after in pairwise(times))
    # The frame at place n may come in the file as late as at place n + delay.
    assert all(times[min(place + delay, len(pts) - 1)] <= shown for place, shown in enumerate(pts))
