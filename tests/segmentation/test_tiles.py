"""How images are cut into tiles."""

import numpy as np
import pytest

from napari_sam.segmentation.tiles import Tile, plan_tiles, side_around, tile_around, tile_overlap


def test_tiles_come_row_by_row_and_are_evenly_spaced():
    tiles = plan_tiles((100, 160), 80, 20)
    assert tiles == [
        Tile(0, 0, 80, 80),
        Tile(0, 40, 80, 80),
        Tile(0, 80, 80, 80),
        Tile(20, 0, 80, 80),
        Tile(20, 40, 80, 80),
        Tile(20, 80, 80, 80),
    ]
    assert tiles[1].region == (slice(0, 80), slice(40, 120))
    assert tiles[5].box == (20, 80, 100, 160)


@pytest.mark.parametrize("shape", [(100, 160), (101, 97), (1, 1000), (640, 1), (64, 64)])
@pytest.mark.parametrize(("side", "overlap"), [(64, 16), (33, 16), (16, 0), (63, 31)])
def test_tiles_cover_the_image_and_neighbours_overlap(shape, side, overlap):
    tiles = plan_tiles(shape, side, overlap)
    seen = np.zeros(shape, int)
    for tile in tiles:
        seen[tile.region] += 1
        assert (tile.height, tile.width) == tuple(np.minimum(shape, side))
    assert seen.min() == 1
    for starts, ends in (
        ({tile.left for tile in tiles}, {tile.right for tile in tiles}),
        ({tile.top for tile in tiles}, {tile.bottom for tile in tiles}),
    ):
        gaps = np.array(sorted(ends)[:-1]) - sorted(starts)[1:]
        assert (gaps >= overlap).all()


def test_an_image_that_fits_is_one_tile():
    assert plan_tiles((50, 80), 80, 20) == [Tile(0, 0, 50, 80)]
    assert plan_tiles((500, 800), 0, 0) == [Tile(0, 0, 500, 800)]


def test_overlap_is_three_objects_and_at_most_half_a_tile():
    assert tile_overlap(1024, 40.2) == 121
    assert tile_overlap(256, 100) == 128
    assert tile_overlap(256, None) == 64


@pytest.mark.parametrize(("side", "overlap"), [(-1, 0), (16, -1), (16, 16)])
def test_tiles_that_cannot_be_are_refused(side, overlap):
    with pytest.raises(ValueError, match="overlap by less than their side"):
        plan_tiles((100, 100), side, overlap)


def test_depth_counts_edges_inside_the_image_alone():
    tile = Tile(0, 10, 20, 20)  # the image ends below it
    boxes = [(0, 15, 20, 25), (5, 10, 9, 12), (5, 26, 9, 30), (5, 8, 9, 12)]
    assert tile.depths(boxes, (20, 40)).tolist() == [5, 0, 0, -2]
    assert np.isinf(Tile(0, 0, 20, 40).depths(boxes, (20, 40))).all()
    assert tile.depths([], (20, 40)).shape == (0,)


@pytest.mark.parametrize("steps", [2, 3])
def test_a_tile_around_an_extent_covers_it(steps):
    shape = 1000, 1500
    for extent in [(0, 0, 5, 5), (990, 1490, 999, 1499), (400, 700, 470, 710), (0, 0, 999, 1499)]:
        side = int(side_around(extent, shape, 200))
        tile = tile_around(extent, shape, side, steps=steps)
        assert tile.top <= extent[0]
        assert tile.left <= extent[1]
        assert tile.bottom >= extent[2]
        assert tile.right >= extent[3]
        assert tile.bottom <= shape[0]
        assert tile.right <= shape[1]
    middle = tile_around((500, 700, 500, 700), shape, 200, steps=steps)
    assert min(500 - middle.top, middle.bottom - 500) >= 200 * (1 - 1 / steps) / 2 - 1
    assert middle == tile_around((505, 705, 505, 705), shape, 200, steps=steps)


def test_a_side_is_doubled_until_an_extent_fits_its_half():
    assert side_around((0, 0, 100, 20), (1000, 1000), 200) == 200
    assert side_around((0, 0, 101, 20), (1000, 1000), 200) == 400
    assert side_around((0, 0, 299, 20), (300, 30), 200) == 400
