"""Others like the examples: by size, by looks, never the examples themselves."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from napari_sam.segmentation.alike import AlikeConfig, find_alike, iter_alike
from napari_sam.segmentation.patches import MaskPatch
from tests.oracle import OracleEmbedding, OraclePredictor

SIDE = 10
PLACES = [(5, 5), (5, 30), (30, 5), (30, 30)]
LARGE = np.s_[50:80, 50:80]


def drawn(values=(1, 1, 1, 1)) -> np.ndarray:
    """Four squares of 10 x 10, and one of 30 x 30."""
    image = np.zeros((90, 90))
    for (row, col), value in zip(PLACES, values, strict=True):
        image[row : row + SIDE, col : col + SIDE] = value
    image[LARGE] = 1
    return image


def square(row, col, side=SIDE) -> MaskPatch:
    return MaskPatch(mask=np.ones((side, side), bool), corner=(row, col))


def corners(found):
    return sorted(one.patch.corner for one in found)


@pytest.mark.parametrize("has_instance_decoder", [True, False])
def test_one_example_finds_the_others_of_its_size(has_instance_decoder):
    predictor = OraclePredictor(has_instance_decoder=has_instance_decoder)
    found = find_alike(predictor, predictor.embed(drawn()), [square(5, 5)])
    assert corners(found) == PLACES[1:]
    assert all(one.patch.mask.shape == (SIDE, SIDE) and one.patch.mask.all() for one in found)
    assert {one.similarity for one in found} == {1.0}
    assert {round(one.confidence.predicted_iou, 2) for one in found} == {0.95}


@pytest.mark.parametrize("has_instance_decoder", [True, False])
def test_examples_of_two_sizes_find_both_sizes(has_instance_decoder):
    predictor = OraclePredictor(has_instance_decoder=has_instance_decoder)
    image = np.zeros((90, 160))
    image[:, :90] = drawn()
    image[50:80, 100:130] = 1  # another large one
    examples = [square(5, 5), square(50, 50, 30)]
    found = find_alike(predictor, predictor.embed(image), examples)
    assert corners(found) == [*PLACES[1:], (50, 100)]


def test_nothing_is_found_where_no_size_fits():
    predictor = OraclePredictor()
    assert find_alike(predictor, predictor.embed(drawn()), [square(50, 50, 30)]) == []


def test_a_wider_range_of_sizes_finds_more():
    predictor = OraclePredictor()
    config = AlikeConfig(max_area_ratio=9)
    found = find_alike(predictor, predictor.embed(drawn()), [square(50, 50, 30)], config)
    assert len(found) == 4  # their largest candidates, which fit the example's size best
    assert {one.candidate for one in found} == {2}


@pytest.mark.parametrize("has_instance_decoder", [True, False])
def test_a_blank_image_has_nothing_alike(has_instance_decoder):
    predictor = OraclePredictor(has_instance_decoder=has_instance_decoder)
    assert find_alike(predictor, predictor.embed(np.zeros((40, 40))), [square(5, 5)]) == []


def test_an_object_that_holds_an_example_is_not_found_again():
    predictor = OraclePredictor()
    most = MaskPatch(mask=np.ones((SIDE, SIDE - 2), bool), corner=(5, 5))
    assert corners(find_alike(predictor, predictor.embed(drawn()), [most])) == PLACES[1:]


def test_found_masks_leave_the_examples_pixels_alone():
    predictor = OraclePredictor()
    mask = np.zeros((27, SIDE), bool)
    mask[:10] = mask[25:] = True  # the first square, and two rows of that below it
    example = MaskPatch.cut(mask, (5, 5))
    found = find_alike(predictor, predictor.embed(drawn()), [example])
    assert corners(found) == [(5, 30), (30, 30), (32, 5)]
    assert not any((one.patch.within((5, 5), mask.shape) & mask).any() for one in found)


def test_there_must_be_an_example():
    predictor = OraclePredictor()
    empty = MaskPatch(mask=np.zeros((0, 0), bool), corner=(0, 0))
    with pytest.raises(ValueError, match="at least one example"):
        find_alike(predictor, predictor.embed(drawn()), [empty])


def test_progress_never_goes_back_within_a_stage():
    predictor = OraclePredictor()
    job = iter_alike(
        predictor, predictor.embed(drawn()), [square(5, 5)], AlikeConfig(points_per_batch=1)
    )
    events = list(job)
    assert [event.done for event in events if event.stage == "Looking at instances"] == [0, 1, 2]
    assert all(event.done <= event.total for event in events)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen(OracleEmbedding):
    """Tokens that tell bright from dim pixels."""

    gray: np.ndarray

    @property
    def features(self):
        kinds = [self.gray == 0, self.gray == 1, self.gray == 2]
        return torch.from_numpy(np.stack(kinds).astype(np.float32))[None]


class Looking(OraclePredictor):
    def embed(self, image, **options):
        return Seen(components=super().embed(image, **options).components, gray=image)


@pytest.mark.parametrize("has_instance_decoder", [True, False])
def test_objects_of_other_looks_are_left_out(has_instance_decoder):
    predictor = Looking(has_instance_decoder=has_instance_decoder)
    embedding = predictor.embed(drawn((2, 1, 2, 1)))
    assert corners(find_alike(predictor, embedding, [square(5, 5)])) == [(30, 5)]
    anything = AlikeConfig(similarity_thresh=0, mask_similarity_thresh=0)
    assert corners(find_alike(predictor, embedding, [square(5, 5)], anything)) == PLACES[1:]


def test_settings_are_checked():
    with pytest.raises(ValueError, match="max_area_ratio must lie between"):
        AlikeConfig(max_area_ratio=0.5)


def test_what_two_examples_cover_together_is_not_found():
    image = drawn()
    whole = square(5, 5)
    halves = [MaskPatch(mask=np.ones((SIDE, 5), bool), corner=(5, col)) for col in (5, 10)]
    predictor = OraclePredictor()
    config = AlikeConfig(overlap_thresh=1.0)
    for examples in ([whole], halves):
        found = find_alike(predictor, predictor.embed(image), examples, config)
        assert (5, 5) not in corners(found)
