"""What napari does not document, on the napari that is installed; other tests use the rest."""

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.viewer.napari_private import announce_task, batched


class Job:
    def __init__(self):
        self.cancelled = 0

    def cancel(self):
        self.cancelled += 1


@pytest.fixture
def tasks(make_napari_viewer):
    """Tell what a viewer's window asks about before it closes."""
    viewer = make_napari_viewer()
    manager = getattr(viewer.window, "_task_status_manager", None)
    if manager is None:
        pytest.skip("this napari knows no tasks")
    return viewer, manager


def test_napari_asks_about_a_task_until_it_ends(tasks):
    viewer, manager = tasks
    end = announce_task(viewer, "counting sheep", Job().cancel)
    assert manager.get_status() == ["napari-sam: counting sheep"]
    end()
    assert not manager.get_status()
    assert not manager.is_busy()


def test_a_window_that_closes_cancels_the_task(tasks):
    viewer, _ = tasks
    job = Job()
    announce_task(viewer, "counting sheep", job.cancel)
    viewer.close()
    assert job.cancelled == 1


def test_the_window_keeps_nothing_of_a_task_alive(tasks):
    viewer, manager = tasks
    job = Job()
    gone = weakref.ref(job)
    announce_task(viewer, "counting sheep", job.cancel)
    del job
    gc.collect()
    assert gone() is None
    manager.cancel_all()


@pytest.mark.parametrize("viewer", [None, ViewerModel()])
def test_without_a_window_nobody_asks(viewer):
    announce_task(viewer, "counting sheep", Job().cancel)()


def test_layers_that_go_together_are_one_change_where_napari_has_that():
    viewer = ViewerModel()
    told = []
    begin = getattr(viewer.layers.events, "begin_batch", None)
    if begin is not None:
        begin.connect(told.append)
    with batched(viewer):
        viewer.add_labels(np.zeros((4, 4), np.uint8))
    assert len(viewer.layers) == 1
    assert len(told) == (begin is not None)
    with batched(SimpleNamespace(layers=[])):  # napari 0.8
        pass
