"""The pause of the garbage collector, also when a Ctrl-C strikes any line of it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from tests.support.strikes import Strike, call_struck

from taskloom.sync.gc_pause import paused_gc, resume_gc


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def pause_twice() -> None:
    with paused_gc():
        assert not gc.isenabled()
        with paused_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()


def test_collection_goes_on_after_the_outermost_block() -> None:
    pause_twice()

    assert gc.isenabled()


def test_a_host_that_has_disabled_collection_keeps_it_so() -> None:
    gc.disable()

    pause_twice()
    resume_gc()

    assert not gc.isenabled()


def test_an_exception_in_the_block_enables_collection() -> None:
    with pytest.raises(ZeroDivisionError), paused_gc():
        raise ZeroDivisionError

    assert gc.isenabled()


def test_a_ctrl_c_at_any_line_leaves_collection_enabled_once_the_scheduler_sleeps() -> None:
    struck = 0
    for nth in range(1, 100):
        strike = Strike(nth, KeyboardInterrupt)
        call_struck(strike, pause_twice)
        resume_gc()

        assert gc.isenabled(), strike.places
        if not strike.places:
            break
        struck += 1
    assert struck > 10
