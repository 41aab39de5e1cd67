"""Linking objects of slices and tiles, on drawn planes."""

import itertools

import numpy as np
import pytest

from napari_sam.volume import node_files
from napari_sam.volume.gaps import fill_gaps
from napari_sam.volume.link import Linker
from napari_sam.volume.link_config import LinkConfig
from napari_sam.volume.linked_ids import LinkedIds
from tests.volume.toys import draw

WHOLE = (slice(None), slice(None))


def linked_ids(planes, workspace=None, **settings):
    config = LinkConfig(**{"iou_thresh": 0.25, "max_gap": 0} | settings)
    counts = [int(plane.max()) for plane in planes]
    linker = Linker(counts, config=config, workspace=workspace)
    for z, plane in enumerate(planes):
        linker.add_slice(0, z, plane, WHOLE)
    return linker.finish()


def link(*planes, **settings):
    """Return the planes with the ids of the volume."""
    linked = linked_ids(planes, **settings)
    return [linked.relabel(z, plane) for z, plane in enumerate(planes)]


def shown(volume):
    """Return one-row planes as text."""
    return ["".join("." if pixel == 0 else str(pixel) for pixel in plane[0]) for plane in volume]


def test_two_objects_over_one_stay_two():
    assert shown(link(draw("111.22"), draw("111111"))) == ["111.22", "111111"]


def test_one_object_over_two_takes_the_better():
    assert shown(link(draw("111111"), draw("11.222"))) == ["111111", "22.111"]


def test_ids_go_through_slices_and_count_up_in_order_of_appearance():
    volume = link(draw("11...22"), draw("22.1.33"), draw("...1.22"))
    assert shown(volume) == ["11...22", "11.3.22", "...3.22"]


def test_without_gaps_an_empty_slice_ends_objects():
    assert shown(link(draw("11"), draw(".."), draw("11"))) == ["11", "..", "22"]


def test_ids_without_pixels_get_no_number():
    assert shown(link(draw("33.5"), draw("22.."))) == ["11.2", "11.."]


@pytest.mark.parametrize("turn", [1, -1])
def test_two_cells_over_one_blob_stay_two_from_both_sides(turn):
    cells, blob = [draw("111.22")] * 3, [draw("111111")] * 3
    volume = link(*(cells + blob)[::turn])[::turn]
    assert shown(volume[:3]) == ["111.22"] * 3
    assert shown(volume[3:]) == ["111111"] * 3


def test_cells_on_both_sides_of_a_blob_are_linked_past_it():
    cells = draw("111.22")
    volume = link(cells, cells, draw("111111"), cells, cells, max_gap=1)
    assert shown(volume) == ["111.22", "111.22", "111111", "111.22", "111.22"]


def test_a_blob_goes_on_to_the_cell_it_came_from():
    """Its best match is the left cell below and the right one above; cells go straight on."""
    below, blob, above = draw("1111.222"), draw("11111111"), draw("111.2222")
    volume = link(below, below, blob, above, above, max_gap=1)
    assert shown(volume) == ["1111.222"] * 2 + ["11111111"] + ["111.2222"] * 2
    crossed = link(below, below, blob, above, above)
    assert shown(crossed)[3:] == ["333.1111"] * 2


def test_a_piece_between_two_slices_of_one_object_joins_it():
    whole, parts = draw("11111111"), draw("11111.22")
    assert shown(link(whole, parts, whole)) == ["11111111", "11111.11", "11111111"]
    assert shown(link(whole, *[parts] * 4, whole))[1] == "11111.11"


def test_a_piece_that_is_seen_apart_for_long_stays():
    whole, parts = draw("11111111"), draw("11111.22")
    assert shown(link(whole, *[parts] * 5, whole))[1:3] == ["11111.22"] * 2


def test_a_piece_between_two_objects_joins_one_and_brings_them_not_together():
    lower, piece, upper = (
        draw("1" * 24 + "." * 20),
        draw("." * 22 + "11"),
        draw("." * 20 + "1" * 24),
    )
    piece = np.pad(piece, ((0, 0), (0, 20)))
    assert shown(link(lower, piece, upper)) == [
        "1" * 24 + "." * 20,
        "." * 22 + "11" + "." * 20,
        "." * 20 + "2" * 24,
    ]


@pytest.mark.parametrize(("n_slices", "joins"), [(1, True), (2, True), (3, False)])
def test_a_crumb_joins_the_object_under_it(n_slices, joins):
    below, crumb = [draw("1" * 20)] * 3, [draw("2." + "1" * 18)] * n_slices
    assert shown(link(*below, *crumb))[-1] == ("1." if joins else "2.") + "1" * 18


def test_a_small_part_that_is_no_small_share_stays():
    assert shown(link(draw("1111"), draw("2.11")))[-1] == "2.11"


def test_an_object_in_halves_goes_on_past_them():
    """The left half matches it from below, the right half from above."""
    lower, halves, upper = draw("11111111."), draw("1111.2222"), draw(".11111111")
    volume = link(lower, lower, halves, upper, upper, max_gap=1)
    assert shown(volume) == ["11111111."] * 2 + ["1111.1111"] + [".11111111"] * 2
    assert linked_ids([lower, lower, halves, upper, upper], max_gap=1).bridges_of(2) == []


def test_the_tip_of_an_object_may_be_a_crumb_of_a_crumb():
    planes = draw("1" * 60), draw("1" * 60), draw("111" + "." * 57), draw("1" + "." * 59)
    assert shown(link(*planes, iou_thresh=0.5))[2:] == ["111" + "." * 57, "1" + "." * 59]


def test_an_object_that_vanishes_for_a_slice_is_one_and_is_drawn():
    planes = [draw("111..2"), draw(".....1"), draw(".111.2")]
    linked = linked_ids(planes, max_gap=1)
    volume = [linked.relabel(z, plane) for z, plane in enumerate(planes)]
    assert shown(volume) == ["111..2", ".....2", ".111.2"]
    assert linked.bridges_of(0) == linked.bridges_of(2) == []
    (bridge,) = linked.bridges_of(1)
    assert (bridge.lower_block, bridge.lower_id, bridge.upper_block, bridge.upper_id) == (
        0,
        1,
        2,
        1,
    )
    assert (bridge.share, bridge.object_id) == (0.5, 1)
    filled = fill_gaps(volume[1], [bridge], planes.__getitem__)
    assert shown([filled]) == [".11..2"]


@pytest.mark.parametrize(("max_gap", "last"), [(0, "22"), (1, "22"), (2, "11"), (3, "11")])
def test_gaps_are_bridged_up_to_their_limit(max_gap, last):
    assert shown(link(draw("11"), draw(".."), draw(".."), draw("11"), max_gap=max_gap))[-1] == last


def test_a_wide_gap_is_drawn_in_each_of_its_slices():
    planes = [draw("111111"), draw("......"), draw("......"), draw("11....")]
    linked = linked_ids(planes, max_gap=2)
    assert [bridge.share for z in (1, 2) for bridge in linked.bridges_of(z)] == [1 / 3, 2 / 3]


def test_the_nearest_slice_comes_first_over_gaps():
    volume = link(draw("1111"), draw("...."), draw("11.."), draw("1111"), max_gap=2)
    assert shown(volume) == ["1111", "....", "11..", "1111"]


def test_small_objects_are_removed_by_their_voxels():
    planes = draw("11.2"), draw("11.2"), draw("11..")
    assert shown(link(*planes, min_voxels=3)) == ["11..", "11..", "11.."]
    assert linked_ids(planes).sizes.tolist() == [6, 2]
    assert linked_ids(planes, min_voxels=3).sizes.tolist() == [6]


def random_planes(n_slices=12, seed=0):
    rng = np.random.default_rng(seed)
    planes = rng.integers(0, 6, (n_slices, 12, 12)).repeat(4, 1).repeat(4, 2).astype(np.uint32)
    return [np.where(rng.random((48, 48)) < 0.8, plane, 0) for plane in planes]


def test_files_give_what_memory_gives(tmp_path, monkeypatch):
    planes = random_planes()
    counts = [int(plane.max()) for plane in planes]
    in_memory = linked_ids(planes, max_gap=2, iou_thresh=0.1)
    monkeypatch.setattr(node_files, "SMALL", 0)
    in_files = linked_ids(planes, tmp_path / "work", max_gap=2, iou_thresh=0.1)
    opened = LinkedIds.open(tmp_path / "work", counts)
    for other in (in_files, opened):
        np.testing.assert_array_equal(other.ids, in_memory.ids)
        np.testing.assert_array_equal(other.sizes, in_memory.sizes)
        np.testing.assert_array_equal(other.bridges, in_memory.bridges)
        assert (other.doubts, other.counts) == (in_memory.doubts, in_memory.counts)
    assert (in_memory.bridges > 0).any()
    with pytest.raises(ValueError, match="expected 61 by the counts; link again"):
        LinkedIds.open(tmp_path / "work", [*counts, 1])
    Linker(counts, workspace=tmp_path / "work")
    with pytest.raises(FileNotFoundError):
        LinkedIds.open(tmp_path / "work", counts)


def test_nothing_at_all_can_be_linked(tmp_path):
    for workspace in (None, tmp_path):
        linked = linked_ids([draw(".."), draw("..")], workspace)
        assert (linked.n_objects, linked.ids_of(1).tolist()) == (0, [0])
    assert LinkedIds.open(tmp_path, [0, 0]).n_objects == 0


def test_wrong_use_is_told():
    with pytest.raises(ValueError, match="2 blocks for every slice, got 3"):
        Linker([1, 1, 1], n_tiles=2)
    linker = Linker([1, 1])
    with pytest.raises(ValueError, match="expected 0 of tile 0, got 1"):
        linker.add_slice(0, 1, draw("1"), WHOLE)
    with pytest.raises(ValueError, match="Block 0 was said to have ids up to 1, got 2"):
        linker.add_slice(0, 0, draw("12"), WHOLE)
    with pytest.raises(ValueError, match="Tile 0 has 0 of 3 slices; add them all"):
        Linker([0, 0, 0]).finish()
    with pytest.raises(ValueError, match="max_gap must lie between 0 and 16, got 17"):
        LinkConfig(max_gap=17)


def test_doubts_are_ranked_and_name_slice_place_and_objects():
    planes = draw("1111..22.3"), draw("...1..22.3"), draw("...1..22.4")
    doubts = linked_ids(planes, iou_thresh=0.25).doubts
    assert [doubt.kind for doubt in doubts[:1]] == ["weak"]
    worst = doubts[0]
    assert (worst.doubt, worst.iou, worst.z, worst.centre) == (1, 0.25, 0, (0, 1.5))
    assert (worst.objects, worst.nodes) == ((1, 1), (0, 3))
    assert list(doubts) == sorted(doubts, key=lambda doubt: -doubt.doubt)


@pytest.mark.parametrize(
    ("planes", "settings", "kind", "value"),
    [
        ((draw("1111"), draw("11..")), {"iou_thresh": 0.6}, "missed", 0.5 / 0.6),
        ((draw("11111111"), draw("111.2222")), {}, "ambiguous", 3 / 4),
        ((draw("11"), draw(".."), draw("1.")), {"max_gap": 1}, "gap", 0.5),
        ((draw("11111"), draw("111.2"), draw("11111")), {}, "contained", 0.8),
    ],
)
def test_kinds_of_doubt(planes, settings, kind, value):
    found = {doubt.kind: doubt.doubt for doubt in reversed(linked_ids(planes, **settings).doubts)}
    assert found[kind] == pytest.approx(value)


def test_tiles_may_come_in_any_order():
    planes = random_planes()
    tiles = [(slice(0, 28), slice(0, 24)), (slice(20, 48), slice(24, 28))]
    blocks = [plane[rows] for plane in planes for rows, _ in tiles]
    counts = [int(block.max()) for block in blocks]

    def result(steps):
        linker = Linker(counts, n_tiles=2, config=LinkConfig(iou_thresh=0.1, max_gap=2))
        for step, z, tile in steps:
            if step == "seam":
                pair = planes[z][20:28], planes[z][20:28]
                linker.add_seam((2 * z, 2 * z + 1), pair, axis=0, border=4, origin=(20, 0))
            else:
                core = (slice(0, 24) if tile == 0 else slice(4, 28), slice(None))
                linker.add_slice(tile, z, blocks[2 * z + tile], core, (20 * tile, 0))
        return linker.finish()

    slices = [("slice", z, tile) for z, tile in itertools.product(range(12), range(2))]
    seams = [("seam", z, 0) for z in range(12)]
    first = result(slices + seams)
    for steps in (
        seams[::-1] + sorted(slices, key=lambda s: s[2]),
        slices[:9] + seams + slices[9:],
    ):
        other = result(steps)
        np.testing.assert_array_equal(first.ids, other.ids)
        assert (first.doubts, first.counts) == (other.doubts, other.counts)
