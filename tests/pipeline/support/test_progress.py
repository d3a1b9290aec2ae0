"""Events, and listeners that may cancel."""

from __future__ import annotations

import pytest

from tvmopt.pipeline.errors import CancelledError
from tvmopt.pipeline.support.progress import Event, Inside, Listener, StepBegan, StepEnded, Steps


def test_steps_are_counted_and_end_when_the_next_begins() -> None:
    events: list[Event] = []
    with Steps(Listener(events.append), 2) as steps:
        steps.begin("importing")
        steps.begin("compiling")
    kinds = [(type(event), getattr(event, "text", ""), getattr(event, "number", 0)) for event in events]
    assert kinds == [
        (StepBegan, "importing", 1),
        (StepEnded, "importing", 1),
        (StepBegan, "compiling", 2),
        (StepEnded, "compiling", 2),
    ]
    assert str(events[2]) == "[2/2] compiling"
    assert str(StepBegan("compiling", 2)) == "compiling"


def test_a_step_that_fails_does_not_end() -> None:
    events: list[Event] = []

    def fail() -> None:
        with Steps(Listener(events.append)) as steps:
            steps.begin("dividing")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [type(event) for event in events] == [StepBegan]


def test_no_step_begins_once_cancelled() -> None:
    events: list[Event] = []
    listener = Listener(events.append)
    steps = Steps(listener)
    steps.begin("one")
    listener.cancel()
    with pytest.raises(CancelledError, match="stopped; what was done is kept"):
        steps.begin("two")
    assert [event.text for event in events if isinstance(event, StepBegan)] == ["one"]
    assert listener.cancelled


def test_a_subclass_needs_no_constructor() -> None:
    class Mute(Listener):
        def __init__(self) -> None:
            pass

    listener = Mute()
    listener.tell(Event())
    listener.check()
    listener.cancel()
    with pytest.raises(CancelledError):
        listener.check()


def test_a_job_inside_another_tells_no_steps_and_stops_with_it() -> None:
    events: list[Event] = []
    outer = Listener(events.append)
    inside = Inside(outer)
    with Steps(inside) as steps:
        steps.begin("unheard")
        inside.tell(Event())
    assert events == [Event()]
    outer.cancel()
    with pytest.raises(CancelledError):
        inside.check()
