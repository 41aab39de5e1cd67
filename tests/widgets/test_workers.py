"""Jobs beside the GUI thread: what is told, and what stays."""

import gc
import traceback
import weakref

import pytest

from napari_sam.widgets.workers import Runner, report_error


@pytest.fixture
def runner(parent):
    return Runner(parent)


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("no"), MemoryError("no")])
def test_an_error_is_told_once_and_then_the_end(runner, qtbot, error):
    told = []

    def job():
        yield 1
        raise error

    runner.start(
        job,
        on_event=told.append,
        on_result=lambda result: told.append("a result"),
        on_error=told.append,
        on_end=lambda: told.append("the end"),
    )
    errored = []
    runner._worker.errored.connect(errored.append)  # what napari tells of that fails under PySide6
    qtbot.waitUntil(lambda: "the end" in told)
    assert told == [1, error, "the end"]
    assert not errored
    assert not runner.busy


def test_a_result_of_a_job_may_be_nothing(runner, qtbot):
    told = []

    def job():
        yield 1

    runner.start(job, on_result=told.append)
    qtbot.waitUntil(lambda: told == [None])


def test_a_cancelled_job_is_closed_and_tells_no_more(runner, qtbot):
    told, closed = [], []

    def job():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    runner.start(job, on_event=told.append, on_result=told.append, on_end=lambda: told.append(2))
    qtbot.waitUntil(lambda: len(told) > 0)
    runner.cancel()
    seen = len(told)
    qtbot.waitUntil(lambda: closed == [True])
    qtbot.wait(50)
    assert len(told) == seen
    assert 2 not in told


class Anything:
    """What a job refers to, such as an embedding."""


@pytest.mark.parametrize("title", ["", "counting sheep"])
def test_nothing_that_a_job_referred_to_stays(viewer, parent, qtbot, title):
    runner, told, held = Runner(parent, viewer), [], Anything()
    gone = weakref.ref(held)

    def start(held):
        def job():
            yield held
            return held

        runner.start(
            job,
            on_event=lambda _: told.append(held is None),
            on_result=lambda _: told.append(held is None),
            title=title,
        )

    start(held)
    qtbot.waitUntil(lambda: not runner.busy)
    assert told == [False, False]
    del held
    qtbot.waitUntil(lambda: gc.collect() >= 0 and gone() is None)


def test_napari_asks_about_what_has_a_title_until_it_ends(viewer, parent, qtbot):
    asked = viewer.window._task_status_manager.get_status
    runner = Runner(parent, viewer)

    def job():
        while True:
            yield 1

    runner.start(job)
    assert not asked()
    runner.start(job, title="counting sheep")
    assert asked() == ["napari-sam: counting sheep"]
    runner.cancel()
    qtbot.waitUntil(lambda: not asked())


def test_an_error_that_was_told_keeps_nothing_of_its_frames(qtbot):
    held = Anything()
    gone = weakref.ref(held)

    def inner(held):
        raise KeyError(id(held))

    def fail(held):
        try:
            inner(held)
        except KeyError as error:
            raise ValueError("no") from error

    def told(held):
        try:
            fail(held)
        except ValueError as error:
            report_error(error)
            return error

    error = told(held)
    del held
    qtbot.waitUntil(lambda: gc.collect() >= 0 and gone() is None)
    assert isinstance(error.__cause__, KeyError)
    assert [call.name for call in traceback.extract_tb(error.__traceback__)] == ["told", "fail"]
