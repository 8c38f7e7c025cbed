"""overlap.py: order, errors and ends of generators that run ahead in threads."""

import itertools
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_tool.overlap import ahead, mapped


@given(items=st.lists(st.integers()), depth=st.integers(1, 5))
def test_ahead_yields_the_same_items_in_the_same_order(items: list[int], depth: int) -> None:
    assert list(ahead(iter(items), depth=depth)) == items


@given(items=st.lists(st.integers()), workers=st.integers(1, 4), depth=st.integers(1, 5))
def test_mapped_yields_results_in_the_order_of_the_items(items: list[int], workers: int, depth: int) -> None:
    assert list(mapped(lambda x: 2 * x, iter(items), workers=workers, depth=depth)) == [2 * x for x in items]


def test_items_are_made_while_the_consumer_is_busy() -> None:
    third = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        third.set()
        yield 3

    chain = ahead(items(), depth=2)
    assert next(chain) == 1
    assert third.wait(5)  # nobody has asked for the second yet
    assert list(chain) == [2, 3]


def test_no_more_is_made_than_the_depth_allows() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        while True:
            made += 1
            yield made

    chain = ahead(items(), depth=3)
    next(chain)
    threading.Event().wait(0.2)
    assert made <= 1 + 3 + 1
    chain.close()


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    chain = ahead(items())
    assert next(chain) == 1
    with pytest.raises(ValueError, match="the second"):
        next(chain)


@pytest.mark.parametrize("depth", [1, 4])
def test_closing_ends_the_thread_and_closes_the_source(depth: int) -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    before = threading.active_count()
    chain = ahead(items(), depth=depth)
    next(chain)
    chain.close()
    assert closed.is_set()
    assert threading.active_count() == before


def test_chains_of_several_threads_end_when_the_last_consumer_fails() -> None:
    before = threading.active_count()

    def run() -> None:
        numbers = ahead(itertools.count())
        doubled = ahead(2 * x for x in numbers)
        for x in doubled:
            if x == 10:
                doubled.close()
                raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk"):
        run()
    assert threading.active_count() <= before + 1  # the innermost ends with its generator


def test_mapped_raises_in_the_place_of_the_item() -> None:
    chain = mapped(lambda x: 1 // x, iter([1, 1, 0, 1]), workers=2)
    assert [next(chain), next(chain)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(chain)
