import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.errors import UsageError
from stylegan_tool.tiling import axis_weights, plan_axis, round_up, smallest_tile


@st.composite
def axes(draw: st.DrawFn) -> dict[str, int]:
    multiple = draw(st.sampled_from([1, 2, 4, 8, 32]))
    halo = multiple * draw(st.integers(0, 12))
    feather = draw(st.integers(0, 40))
    tile = smallest_tile(halo, feather, multiple) + draw(st.integers(0, 200))
    length = multiple * draw(st.integers(1, 3000 // multiple))
    return {"length": length, "tile": tile, "halo": halo, "feather": feather, "multiple": multiple}


@given(axes())
def test_weights_add_up_to_one_for_each_pixel_of_at_most_two_tiles(axis: dict[str, int]) -> None:
    spans = plan_axis(**axis)
    total, tiles = np.zeros(axis["length"]), np.zeros(axis["length"], int)
    for span, weights in zip(spans, axis_weights(spans), strict=True):
        assert (weights > 0).all()
        total[span.keep_start : span.keep_stop] += weights
        tiles[span.keep_start : span.keep_stop] += 1
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert tiles.max() <= 2


@given(axes())
def test_what_is_kept_is_a_halo_away_from_inner_ends(axis: dict[str, int]) -> None:
    for span in plan_axis(**axis):
        assert 0 <= span.start <= span.keep_start < span.keep_stop <= span.stop <= axis["length"]
        assert span.start == 0 or span.keep_start - span.start >= axis["halo"]
        assert span.stop == axis["length"] or span.stop - span.keep_stop >= axis["halo"]


@given(axes())
def test_tiles_are_of_one_size_and_start_on_the_multiple(axis: dict[str, int]) -> None:
    spans = plan_axis(**axis)
    assert len({span.stop - span.start for span in spans}) == 1
    assert all(span.start % axis["multiple"] == 0 for span in spans)
    assert spans[0].stop - spans[0].start <= axis["tile"]


@given(axes())
def test_neighbours_share_the_feather(axis: dict[str, int]) -> None:
    spans = plan_axis(**axis)
    for earlier, later in itertools.pairwise(spans):
        assert earlier.keep_stop - later.keep_start == axis["feather"]


def test_a_short_axis_is_one_tile() -> None:
    (span,) = plan_axis(64, tile=64, halo=88, feather=32, multiple=4)
    assert (span.start, span.stop, span.keep_start, span.keep_stop) == (0, 64, 0, 64)


def test_too_small_a_tile_names_the_smallest() -> None:
    least = smallest_tile(88, 32, 4)
    with pytest.raises(UsageError, match="88 pixels to each side") as caught:
        plan_axis(1000, tile=least - 4, halo=88, feather=32, multiple=4)
    assert f"--tile {least}" in caught.value.hint


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_round_up_is_the_next_multiple(value: int, multiple: int) -> None:
    rounded = round_up(value, multiple)
    assert rounded % multiple == 0
    assert 0 <= rounded - value < multiple
