import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_sam.segmentation.outlines import Polygon, fill_patch, fill_polygons, mask_polygons

MASKS = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=10))


def signed_area(ring) -> float:
    """Shoelace formula with x = col and y = row, vertex by vertex."""
    total = 0.0
    for (r0, c0), (r1, c1) in zip(ring, np.roll(ring, -1, 0), strict=True):
        total += c0 * r1 - c1 * r0
    return total / 2


def test_a_pixel_is_a_square_around_its_centre():
    [square] = mask_polygons(np.ones((1, 1), bool), corner=(3, 7))
    corners = [[2.5, 6.5], [2.5, 7.5], [3.5, 7.5], [3.5, 6.5]]
    assert square.exterior.tolist() == corners
    assert square.holes == ()


def test_straight_edges_have_no_vertices_between():
    mask = np.zeros((5, 6), bool)
    mask[1:4, 1:3] = mask[3, 1:6] = True  # an L
    [shape] = mask_polygons(mask)
    assert shape.exterior.tolist() == [
        [0.5, 0.5], [0.5, 2.5], [2.5, 2.5], [2.5, 5.5], [3.5, 5.5], [3.5, 0.5],
    ]  # fmt: skip


def test_holes_are_inner_rings_that_turn_the_other_way():
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    [shape] = mask_polygons(mask)
    assert signed_area(shape.exterior) == 9
    assert [signed_area(hole) for hole in shape.holes] == [-1]
    assert {tuple(vertex) for vertex in shape.holes[0]} == {
        (0.5, 0.5), (0.5, 1.5), (1.5, 0.5), (1.5, 1.5),
    }  # fmt: skip


def test_pixels_that_touch_at_a_corner_are_two_parts():
    parts = mask_polygons(np.eye(2, dtype=bool))
    assert [signed_area(part.exterior) for part in parts] == [1, 1]


def test_an_island_in_a_hole_is_a_part_of_its_own():
    mask = np.ones((5, 5), bool)
    mask[1:4, 1:4] = False
    mask[2, 2] = True
    outer, island = mask_polygons(mask)
    assert (len(outer.holes), len(island.holes)) == (1, 0)
    assert signed_area(island.exterior) == 1


def test_a_part_that_touches_itself_at_a_corner_has_a_hole_there():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    [shape] = mask_polygons(mask)
    assert len(shape.holes) == 1
    assert np.array_equal(fill_polygons([shape], mask.shape), mask)


def test_an_empty_mask_has_no_outline():
    assert mask_polygons(np.zeros((4, 5), bool)) == []
    assert mask_polygons(np.zeros((0, 0), bool)) == []


@given(MASKS)
def test_filled_outlines_are_the_mask(mask):
    assert np.array_equal(fill_polygons(mask_polygons(mask), mask.shape), mask)


@given(MASKS)
def test_rings_are_simple_and_turn_as_geojson_wants(mask):
    polygons = mask_polygons(mask)
    area = 0.0
    for polygon in polygons:
        assert signed_area(polygon.exterior) > 0
        assert all(signed_area(hole) < 0 for hole in polygon.holes)
        area += sum(signed_area(ring) for ring in polygon.rings)
        for ring in polygon.rings:
            assert len({tuple(vertex) for vertex in ring}) == len(ring)
            steps = np.roll(ring, -1, 0) - ring
            assert ((steps != 0).sum(1) == 1).all()  # along the edges
            assert (np.roll(steps, 1, 0) * steps == 0).all()  # and turning at every vertex
    assert area == mask.sum()


def encloses(ring, row: float, col: float) -> bool:
    """Count crossings of a ray, edge by edge."""
    inside = False
    for (r0, c0), (r1, c1) in zip(ring, np.roll(ring, -1, 0), strict=True):
        if (r0 > row) != (r1 > row) and col < c0 + (row - r0) * (c1 - c0) / (r1 - r0):
            inside = not inside
    return inside


@given(st.integers(0, 2**32 - 1), st.integers(3, 8))
def test_pixels_are_taken_by_their_centres(seed, n_vertices):
    ring = np.random.default_rng(seed).uniform(-4, 14, (n_vertices, 2))
    mask = fill_polygons([Polygon(exterior=ring)], (9, 11))
    expected = [[encloses(ring, row, col) for col in range(11)] for row in range(9)]
    assert mask.tolist() == expected


def test_rings_may_be_closed_and_turn_either_way():
    ring = np.array([[0.2, 0.2], [0.2, 4.6], [3.1, 4.6], [3.1, 0.2]])
    expected = np.zeros((6, 6), bool)
    expected[1:4, 1:5] = True
    for outline in (ring, ring[::-1], np.concatenate([ring, ring[:1]])):
        assert np.array_equal(fill_polygons([Polygon(exterior=outline)], (6, 6)), expected)


def test_polygons_that_share_an_edge_share_no_pixel():
    left = np.array([[0, 0], [0, 3], [5, 2], [5, 0]], float)
    right = np.array([[0, 3], [0, 6], [5, 6], [5, 2]], float)
    masks = [fill_polygons([Polygon(exterior=ring)], (5, 6)) for ring in (left, right)]
    assert (masks[0] ^ masks[1]).all()


def test_parts_that_overlap_are_one_mask():
    first = np.array([[-0.5, -0.5], [-0.5, 2.5], [2.5, 2.5], [2.5, -0.5]])
    mask = fill_polygons([Polygon(exterior=first), Polygon(exterior=first + 1)], (4, 4))
    assert mask.sum() == 9 + 9 - 4


def test_only_the_part_of_the_image_is_filled():
    ring = np.array([[1000, 2000], [1000, 2003], [1002, 2003], [1002, 2000]], float) - 0.5
    patch, corner = fill_patch([Polygon(exterior=ring)], (10**6, 10**6))
    assert (patch.tolist(), corner) == ([[True] * 3] * 2, (1000, 2000))
    patch, corner = fill_patch([Polygon(exterior=ring * 1e6)], (100, 100))
    assert patch.size == 0
    assert fill_patch([], (5, 5))[0].size == 0


@pytest.mark.parametrize("strip", [40, 2**22])
def test_outlines_are_those_of_the_first_version(strip, monkeypatch):
    monkeypatch.setattr("napari_sam.segmentation.outlines._STRIP", strip)
    rng = np.random.default_rng(3)
    text = ""
    for share in (0.3, 0.5, 0.7, 0.9):
        for polygon in mask_polygons(rng.random((23, 31)) < share):
            text += str([ring.tolist() for ring in polygon.rings])
    digest = "b80085122842bf700508401a98d6a41d2cfba15b1a46598b64a07e538f6067b1"
    assert hashlib.sha256(text.encode()).hexdigest() == digest


def test_memory_is_that_of_the_parts_and_the_edges():
    mask = np.eye(1500, dtype=bool)
    mask |= np.eye(1500, k=1, dtype=bool)
    tracemalloc.start()
    mask_polygons(mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * mask.size  # 4 for the parts, 2 for a strip of the mask; it was 47


def test_large_polygons_are_filled_in_strips(monkeypatch):
    monkeypatch.setattr("napari_sam.segmentation.outlines._STRIP", 25)
    mask = np.random.default_rng(0).random((12, 11)) < 0.6
    assert np.array_equal(fill_polygons(mask_polygons(mask), mask.shape), mask)


def test_polygons_beyond_memory_are_refused():
    ring = np.array([[0, 0], [0, 90_000], [80_000, 90_000], [80_000, 0]], float)
    with pytest.raises(ValueError, match="got 80000 x 90000; scale"):
        fill_patch([Polygon(exterior=ring)], (10**6, 10**6))


@pytest.mark.parametrize("points", [[], [[1, 1]], [[1, 1], [3, 3]], [[1, 1], [1, 1], [1, 1]]])
def test_what_has_no_inside_is_empty(points):
    ring = np.array(points, float).reshape(-1, 2)
    assert not fill_polygons([Polygon(exterior=ring)], (5, 5)).any()
