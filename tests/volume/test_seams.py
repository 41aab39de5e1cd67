"""Linking over the seams of tiles, on drawn planes."""

import numpy as np

from napari_sam.volume.link import Linker
from napari_sam.volume.link_config import LinkConfig
from napari_sam.volume.seams import match_at_seam
from tests.volume.tiled import add_seams, cut, link_tiled
from tests.volume.toys import draw


def pairs(first, second, border, iou_thresh=0.25):
    found = match_at_seam(first, second, border, iou_thresh=iou_thresh)
    one, other = found.first[found.crossing], found.second[found.crossing]
    return list(zip(one.tolist(), other.tolist(), strict=True))


def test_what_crosses_the_border_is_matched_by_overlap():
    assert pairs(draw("11.", "11.", "11."), draw("22.", "22.", ".22"), 1) == [(1, 2)]


def test_a_sliver_at_the_outer_rim_is_not_linked():
    first, second = draw("11", "..", "..", "..", "22"), draw("11", "..", "..", "..", "22")
    assert pairs(first, second, 2) == []
    assert pairs(first, second, 4) == [(2, 2)]


def test_an_object_that_ends_at_the_border_matches_one_that_crosses_it():
    assert pairs(draw("..", "11", "11", ".."), draw("..", "..", "11", "11"), 2) == [(1, 1)]


def test_two_pieces_over_a_border_stay_two():
    assert pairs(draw("11111", "11111"), draw("11.22", "11.22"), 1) == [(1, 1)]


def test_what_is_cut_without_a_match_is_counted():
    found = match_at_seam(draw("11", "11", ".2"), draw("..", "..", ".."), 1, iou_thresh=0.25)
    assert found.first_cut.tolist() == [0, 4, 0]
    assert found.second_cut.tolist() == [0]


def test_an_object_over_four_tiles_is_one():
    plane = np.zeros((40, 40), np.uint32)
    plane[15:25, 15:25] = 1
    plane[2:6, 2:6] = 2
    plane[30:38, 18:22] = 3
    volume, linked = link_tiled(plane[None], halo=4)
    assert linked.n_objects == 3
    assert linked.sizes.tolist() == [16, 100, 32]
    np.testing.assert_array_equal(volume[0] > 0, plane > 0)
    assert len(np.unique(volume[0][15:25, 15:25])) == 1


def test_an_object_over_two_diagonal_tiles_is_one():
    plane = np.zeros((40, 40), np.uint32)
    plane[17:20, 17:20] = plane[20:23, 20:23] = 1  # no pixel in the other two cores
    volume, linked = link_tiled(plane[None], halo=4)
    assert linked.n_objects == 1
    np.testing.assert_array_equal(volume[0], plane)


def test_tiles_that_take_a_blob_for_different_cells_do_not_join_the_cells():
    volume = np.zeros((9, 40, 40), np.uint32)
    volume[:, 2:18, 10:19] = 1  # all in the upper tiles, and seen by the lower ones
    volume[:, 18:36, 10:19] = 2  # mostly in the lower ones
    seen = volume.copy()
    seen[4][seen[4] == 2] = 1
    labels, linked = link_tiled(seen, halo=6, segment=np.copy)
    assert linked.n_objects == 2
    expected = seen.copy()
    expected[4, 20:36, 10:19] = 2  # each tile's core has the blob as its own cell
    np.testing.assert_array_equal(labels, expected)


def test_a_cut_object_is_a_doubt():
    plane = np.zeros((40, 40), np.uint32)
    plane[5:9, 15:25] = 1
    tiles = cut((40, 40), 4)
    blocks = [
        np.zeros_like(plane[tile.read]) if i else plane[tile.read] for i, tile in enumerate(tiles)
    ]
    linker = Linker([1, 0, 0, 0], n_tiles=4, config=LinkConfig())
    for tile, block in enumerate(blocks):
        linker.add_slice(tile, 0, block, tiles[tile].core, tiles[tile].origin)
    add_seams(linker, tiles, 0, blocks)
    (doubt,) = linker.finish().doubts
    assert (doubt.kind, doubt.doubt, doubt.z) == ("cut", 1 - 1 / 9, 0)
    assert (doubt.objects, doubt.nodes, doubt.iou) == ((1, 0), (0, -1), 0)
    assert doubt.centre == (6.5, 19.5)  # of what the overlap shows
