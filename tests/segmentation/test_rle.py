import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_sam.segmentation.rle import (
    RunLengths,
    counts_from_string,
    counts_to_string,
    decode_mask,
    decode_patch,
    encode_mask,
    encode_patch,
    rle_from_dict,
    rle_to_dict,
)

MASKS = npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=12))


def ring() -> np.ndarray:
    """A 4 x 5 rectangle with a hole of 2 x 2, in 6 x 8 pixels."""
    mask = np.zeros((6, 8), bool)
    mask[1:5, 2:7] = True
    mask[2:4, 3:5] = False
    return mask


def test_runs_go_down_the_columns_and_begin_with_background():
    mask = np.array([[0, 1, 0], [0, 1, 1]], bool)
    assert np.array_equal(encode_mask(mask).counts, [2, 2, 1, 1])
    assert np.array_equal(encode_mask(np.ones((2, 3), bool)).counts, [0, 6])
    assert np.array_equal(encode_mask(np.zeros((2, 3), bool)).counts, [6])


# What pycocotools 2.0 writes for these masks.
@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (ring(), "=42M00000003005"),
        (np.zeros((6, 8), bool), "`1"),
        (np.ones((6, 8), bool), "0`1"),
    ],
)
def test_the_compressed_form_is_that_of_the_coco_tools(mask, text):
    rle = encode_mask(mask)
    assert rle_to_dict(rle) == {"size": [6, 8], "counts": text}
    assert np.array_equal(decode_mask(rle_from_dict({"size": [6, 8], "counts": text})), mask)


@given(MASKS)
def test_masks_come_back(mask):
    rle = encode_mask(mask)
    assert np.array_equal(decode_mask(rle), mask)
    again = rle_from_dict(rle_to_dict(rle))
    assert np.array_equal(again.counts, rle.counts)


@given(MASKS)
def test_area_box_and_patch_need_no_decoding(mask):
    rle = encode_mask(mask)
    assert rle.area == mask.sum()
    top, left, bottom, right = rle.box
    rows, cols = np.nonzero(mask)
    if len(rows):
        assert (top, left) == (rows.min(), cols.min())
        assert (bottom, right) == (rows.max() + 1, cols.max() + 1)
    else:
        assert rle.box == (0, 0, 0, 0)
    assert np.array_equal(decode_patch(rle), mask[top:bottom, left:right])


@given(MASKS, st.integers(0, 3), st.integers(0, 3))
def test_a_patch_in_an_image_gives_the_runs_of_the_whole(mask, top, left):
    shape = (mask.shape[0] + top + 1, mask.shape[1] + left + 2)
    whole = np.zeros(shape, bool)
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    rle = encode_patch(mask, (top, left), shape)
    assert np.array_equal(rle.counts, encode_mask(whole).counts)


@given(npst.arrays(np.int64, st.integers(0, 20), elements=st.integers(0, 2**38 - 1)))
def test_strings_hold_any_counts(counts):
    assert np.array_equal(counts_from_string(counts_to_string(counts)), counts)


def test_both_forms_of_counts_are_read():
    plain = rle_from_dict({"size": [2, 3], "counts": [2, 2, 1, 1]})
    packed = rle_from_dict({"size": [2, 3], "counts": counts_to_string([2, 2, 1, 1]).encode()})
    assert np.array_equal(decode_mask(plain), decode_mask(packed))
    padded = rle_from_dict({"size": [2, 3], "counts": [2, 0, 0, 2, 1, 1, 0]})
    assert np.array_equal(decode_mask(plain), decode_mask(padded))
    assert padded.box == plain.box == (0, 1, 2, 3)


def test_a_patch_outside_the_image_is_refused():
    with pytest.raises(ValueError, match="does not lie in the image"):
        encode_patch(np.ones((3, 3), bool), (2, 0), (4, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=4 2", "got ' '"),
        ("=4\u00e4", "from '0' to 'o'"),
        ("=4R", "ends within one"),
        ("P" * 9 + "0", "more than 40 bits"),
    ],
)
def test_damaged_strings_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        counts_from_string(text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"counts": [4]}, "size"),
        ({"size": [2, 2], "counts": None}, "counts"),
        ({"size": [2, 2], "counts": {"a": 1}}, "counts"),
        ({"size": 4, "counts": [4]}, "size"),
        ({"size": [2, 2], "counts": [3]}, "add up to the 2 x 2 = 4 pixels"),
        ({"size": [2, 2], "counts": [5, -1]}, "must not be negative"),
        ({"size": [2, 2], "counts": ["x"]}, "list of whole numbers"),
    ],
)
def test_what_is_no_segmentation_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        rle_from_dict(data)


def test_empty_images_have_no_runs():
    assert RunLengths(shape=(0, 5), counts=[0]).area == 0
    assert counts_from_string("").tolist() == []


@given(MASKS, st.integers(0, 2), st.integers(0, 2))
def test_strips_give_what_the_whole_gives(mask, below, right):
    image = np.pad(mask, ((0, below), (0, right)))
    flat = np.pad(image.T.reshape(-1), 1)
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("napari_sam.segmentation.rle._STRIP", 5)
        rle = encode_patch(mask, (0, 0), image.shape)
        assert np.array_equal(np.stack(rle.runs(), 1).reshape(-1), edges)
        top, left, bottom, last = rle.box
        assert np.array_equal(decode_patch(rle), image[top:bottom, left:last])


def test_memory_is_that_of_strips():
    mask = np.ones((2000, 2000), bool)
    tracemalloc.start()
    decode_patch(encode_mask(mask))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * mask.size  # a strip is a quarter of it; it was 33
