"""Labels over seams, on planes drawn by hand: tiles of 8 columns that share 4."""

import numpy as np
import pytest

from napari_sam.segmentation.matching import match_labels
from napari_sam.segmentation.mosaic import Mosaic
from napari_sam.segmentation.tiles import Tile
from tests.volume.toys import draw

LEFT, RIGHT = Tile(0, 0, 3, 8), Tile(0, 4, 3, 8)
SHARED = "    ^^^^"  # columns 4 to 7 of the left tile, 0 to 3 of the right one


def laid(left, right, *, margin=0):
    mosaic = Mosaic((3, 12), margin=margin)
    mosaic.add(LEFT, draw(*[left] * 3))
    mosaic.add(RIGHT, draw(*[right] * 3))
    return mosaic.labels()[1].tolist()


def row(text):
    return draw(text)[0].tolist()


@pytest.mark.parametrize(
    ("left", "right", "whole"),
    [
        # an object in the middle of the overlap is seen twice, and is one
        (".....11.", ".11.....", ".....11....."),
        # the left tile cuts it, the right one sees it whole, and the other way round
        (".....111", ".11111..", ".....11111.."),
        ("..1111..", "11......", "..1111......"),
        # both cut an object that is larger than the overlap
        ("..111111", "111111..", "..11111111.."),
        # they touch in the middle of the overlap, and stay two
        (".11111..", "11......", ".11111......"),
        ("..111122", "1122222.", "..111122222."),
        # each cuts one, and they touch at the left tile's edge
        ("......11", "..112222", "......112222"),
        # a fragment where the neighbour has nothing stays
        ("......11", "........", "......11...."),
        # cut ones that overlap little stay two; what both claim goes to the nearer tile
        ("1111...1", "11.1111.", "111122.2222."),
        # one where the neighbour sees two or three goes: the neighbour saw further
        ("...11111", ".1.2.3..", ".....1.2.3.."),
        ("....1111", ".11.22..", ".....11.22.."),
    ],
)
def test_an_object_at_a_seam_is_what_it_would_be_without(left, right, whole):
    found = laid(left, right)
    assert np.array_equal(np.array(found) > 0, np.array(row(whole)) > 0), SHARED
    numbers = {0: 0}
    assert all(numbers.setdefault(a, b) == b for a, b in zip(found, row(whole), strict=True))
    assert len(set(numbers.values())) == len(numbers)


def test_ids_have_no_gaps():
    assert laid("1.22...3", "...1.2.3") == [1, 0, 2, 2, 0, 0, 0, 3, 0, 4, 0, 5]


def test_the_piece_that_lies_deeper_stays():
    # whole in both; it lies 1 from the left tile's edge, and 2 from the right one's
    assert laid(".....11.", "..1.....") == row("......1.....")
    # and the other way round
    assert laid(".....1..", ".11.....") == row(".....1......")


def test_pieces_near_an_edge_count_as_cut():
    near_both = "..11111.", ".11111.."
    assert laid(*near_both) == row("..11111.....")
    assert laid(*near_both, margin=1) == row("..11111111..")


@pytest.mark.parametrize("is_ring", [False, True])
def test_an_object_over_or_around_the_corner_of_four_tiles_is_one(is_ring):
    image = np.zeros((14, 14), np.uint32)
    image[4:10, 4:10] = 1
    if is_ring:
        image[:] = 1
        image[2:12, 2:12] = 0
    mosaic = Mosaic(image.shape, margin=0)
    for top in (0, 6):
        for left in (0, 6):
            tile = Tile(top, left, 8, 8)
            mosaic.add(tile, image[tile.region])
    assert np.array_equal(mosaic.labels(), image)


def test_an_empty_mosaic_has_no_objects():
    mosaic = Mosaic((3, 12), margin=0)
    for tile in (LEFT, RIGHT):
        mosaic.add(tile, np.zeros((3, 8), np.uint32))
    assert not mosaic.labels().any()
    assert len(match_labels(np.zeros((0, 3), int), np.zeros((0, 3), int), iou_thresh=0.5)) == 0
