"""Which axes there are to go along, and which is likeliest."""

from napari_sam.viewer.stack_axes import stack_axes


def test_the_likeliest_axis_is_the_last_that_is_no_channel():
    assert stack_axes([0, 1], (9, 3, 60, 80)) == [1, 0]
    assert stack_axes([0, 1], (9, 3, 60, 80), ("z", "C", "y", "x")) == [0, 1]
    assert stack_axes([0, 1], (9, 1, 60, 80)) == [0]
    assert stack_axes([0], (1, 60, 80)) == []
