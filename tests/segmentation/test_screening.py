"""Half precision screens a grid, and the records are those of float32."""

import dataclasses

import numpy as np
import pytest
import skimage.data
import torch

from napari_sam.model.devices import resolve_screening_dtype
from napari_sam.segmentation import grid
from napari_sam.segmentation.full_resolution import PointMasks
from napari_sam.segmentation.grid import iter_candidates, iter_masks
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.progress import run
from napari_sam.segmentation.screening import EXACT, Margins, Verdict, judge
from tests.segmentation.test_grid import NANO, OFFICIAL, official  # noqa: F401

HALF = ("bfloat16", "float16")
COINS = skimage.data.coins()[:180, :240]
NOTHING_OPEN = np.zeros(0, np.intp)


class Counting(Predictor):
    """Counts points, and takes the embedding of float32: only decoding is compared."""

    def __init__(self, model, precision):
        super().__init__(model, "cpu", precision=precision)
        self._dtype = torch.float32
        self.screened = self.exact = 0

    def iter_points(self, embedding, points, least_iou, *, screening=False):
        if screening:
            self.screened += len(points)
        else:
            self.exact += len(points)
        yield from super().iter_points(embedding, points, least_iou, screening=screening)


def check_equal(found, expected) -> None:
    """The same masks in the same order, to the pixel, and the same scores."""
    assert [record.box for record in found] == [record.box for record in expected]
    for one, other in zip(found, expected, strict=True):
        overlap = (one.mask & other.mask).sum() / (one.mask | other.mask).sum()
        assert overlap >= 0.999
        assert one.predicted_iou == pytest.approx(other.predicted_iou, abs=1e-4)
        assert one.stability_score == pytest.approx(other.stability_score, abs=1e-3)


def check_screened(model, image, config, precision, least: int) -> list:
    expected = run(iter_masks(Counting(model, "float32"), image, config))
    screening = Counting(model, precision)
    check_equal(run(iter_masks(screening, image, config)), expected)
    assert len(expected) >= least
    assert screening.screened >= config.points_per_side**2
    assert screening.exact < screening.screened
    return expected


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("name", ["astronaut", "immunohistochemistry"])
def test_official_decoders_give_the_records_of_float32(official, name, precision):  # noqa: F811
    image = getattr(skimage.data, name)()
    config = dataclasses.replace(
        OFFICIAL, pred_iou_thresh=0.6, stability_score_thresh=0.6, box_nms_thresh=0.9
    )
    check_screened(official.model, image, config, precision, 1)


@pytest.mark.parametrize("precision", HALF)
@pytest.mark.parametrize("name", ["coins", "cell"])
def test_nano_gives_the_records_of_float32(name, precision):
    image = getattr(skimage.data, name)()[:200, :200]
    config = dataclasses.replace(NANO, pred_iou_thresh=0.3, stability_score_thresh=0.5)
    check_screened("nano", image, config, precision, 2)


def test_crops_are_screened_too():
    config = dataclasses.replace(NANO, points_per_side=6, crop_n_layers=1)
    check_screened("nano", COINS, config, "bfloat16", 5)


def believed(image, config, monkeypatch) -> list:
    """Return the records if half precision decided everything."""
    screening = Counting("nano", "bfloat16")
    screening.screening_margins = Margins(torch.bfloat16, 0, 0, 0, 0, 0)
    with monkeypatch.context() as patch:
        patch.setattr(grid, "judge", lambda *given: Verdict(judge(*given).kept, NOTHING_OPEN))
        return run(iter_masks(screening, image, config))


def test_half_precision_alone_gives_other_records(monkeypatch):
    expected = run(iter_masks(Counting("nano", "float32"), COINS, NANO))
    with pytest.raises(AssertionError):
        check_equal(believed(COINS, NANO, monkeypatch), expected)


@pytest.mark.parametrize("name", ["predicted_iou", "stability_score"])
def test_thresholds_at_a_score_are_decided_in_float32(name, monkeypatch):
    """A threshold between what both precisions say, whichever says more."""
    config = dataclasses.replace(NANO, points_per_side=6)
    exact = by_place(run(iter_masks(Counting("nano", "float32"), COINS, config)))
    half = by_place(believed(COINS, config, monkeypatch))
    pairs = {
        place: (getattr(exact[place], name), getattr(half[place], name))
        for place in exact.keys() & half.keys()
    }
    setting = {"predicted_iou": "pred_iou_thresh"}.get(name, "stability_score_thresh")
    for sign in (1, -1):
        place = max(pairs, key=lambda one: sign * (pairs[one][0] - pairs[one][1]))
        assert sign * (pairs[place][0] - pairs[place][1]) > 1e-5
        at_score = dataclasses.replace(config, **{setting: sum(pairs[place]) / 2})
        expected = check_screened("nano", COINS, at_score, "bfloat16", 0)
        assert (place in by_place(expected)) == (sign == 1)
        assert (place in by_place(believed(COINS, at_score, monkeypatch))) == (sign == -1)


def by_place(records) -> dict:
    return {(record.point, record.box): record for record in records}


def test_what_is_chosen_later_or_one_after_the_other_is_float32():
    candidates, adaptive = Counting("nano", "bfloat16"), Counting("nano", "bfloat16")
    run(iter_candidates(candidates, COINS, NANO))
    run(iter_masks(adaptive, COINS, dataclasses.replace(NANO, points="adaptive")))
    assert candidates.screened == adaptive.screened == 0


def test_half_precision_of_image_tokens_hardly_moves_scores(official):  # noqa: F811
    embedding = official.embed(skimage.data.astronaut())
    places = np.stack(np.meshgrid([60.0, 250.0, 440.0], [60.0, 250.0, 440.0]), -1).reshape(-1, 2)
    exact = PointMasks.joined(official.iter_points(embedding, places, -99.0)).masks
    for precision in HALF:
        half = Counting(official.model, precision)
        margins = half.screening_margins
        answers = half.iter_points(embedding, places, -99.0, screening=True)
        found = PointMasks.joined(answers).masks
        assert found.logits.dtype == found.predicted_iou.dtype == torch.float32
        error = (found.predicted_iou - exact.predicted_iou).abs().max()
        assert 0 < error < margins.score


def boxes_of(*lefts: float) -> np.ndarray:
    """Boxes 10 pixels wide from these columns on."""
    return np.array([(0.0, left, 10.0, left + 10) for left in lefts])


MARGINS = Margins(torch.bfloat16, 0.01, 0.01, 1, 1 / 3, 0)


def test_masks_that_would_be_kept_are_decided_first():
    verdict = judge(boxes_of(0, 0, 50), np.array([0.9, 0.8, 0.7]), np.zeros(3, bool), 0.7, MARGINS)
    assert verdict.kept.tolist() == verdict.open.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("left", "score", "is_open"),
    [
        (0.0, 0.8, False),
        (0.0, 0.895, True),  # half precision may have swapped the two
        (1.5, 0.8, True),  # it may not be a duplicate
    ],
)
def test_duplicates_are_dropped_if_they_surely_are(left, score, is_open):
    exact = np.array([True, False])
    verdict = judge(boxes_of(0, left), np.array([0.9, score]), exact, 0.7, MARGINS)
    assert verdict.kept.tolist() == [0]
    assert verdict.open.tolist() == ([1] if is_open else [])


def test_in_float32_nothing_is_open():
    verdict = judge(boxes_of(0, 1.5), np.array([0.9, 0.9]), np.ones(2, bool), 0.7, EXACT)
    assert verdict.kept.tolist() == [0]
    assert not len(verdict.open)


def test_screening_is_half_precision_where_asked():
    cpu = torch.device("cpu")
    assert resolve_screening_dtype(cpu, "float16") == torch.float16
    assert resolve_screening_dtype(cpu, "float32") == torch.float32
    assert Predictor("nano", "cpu", precision="float32").screening_margins == EXACT


def test_processors_screen_in_bfloat16_if_they_compute_in_it(monkeypatch):
    for computes, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(
            "napari_sam.model.devices.computes_bfloat16", lambda device, answer=computes: answer
        )
        assert resolve_screening_dtype(torch.device("cpu")) == dtype
