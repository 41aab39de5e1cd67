"""The sample pictures are made or shipped, never downloaded."""

import numpy as np
from scipy import ndimage

from napari_sam.viewer.sample_data import coins_2d, draw_nuclei, nuclei_3d


def test_coins_need_no_network(monkeypatch):
    monkeypatch.setattr("socket.socket.connect", refuse)
    [(picture, options, kind)] = coins_2d()
    assert (picture.shape, picture.dtype, kind) == ((303, 384), np.uint8, "image")
    assert options["name"] == "coins"


def refuse(*_):
    raise AssertionError("a sample asked the network")


def test_nuclei_are_a_stack_with_a_scale():
    stack, options, kind = nuclei_3d()[0]
    assert (stack.shape, stack.dtype, kind) == ((16, 160, 192), np.uint16, "image")
    assert len(options["scale"]) == stack.ndim


def test_nuclei_come_with_their_truth():
    stack, labels = draw_nuclei()
    assert labels.max() == 20
    _, parts = ndimage.label(labels > 0)
    assert parts == 20
    assert np.median(stack[labels > 0]) > 3 * np.median(stack[labels == 0])


def test_a_seed_decides_the_nuclei():
    np.testing.assert_array_equal(draw_nuclei(3)[0], draw_nuclei(3)[0])
    assert (draw_nuclei(3)[1] != draw_nuclei(4)[1]).any()
