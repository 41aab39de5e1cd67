"""Objects drawn in stacks, carried by a predictor that knows every slice."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from napari_sam.segmentation.claims import Claim, share_pixels
from napari_sam.segmentation.geometry import Geometry
from napari_sam.segmentation.patches import MaskPatch
from napari_sam.segmentation.progress import run
from napari_sam.segmentation.propagation import PropagateConfig, iter_propagate
from tests.oracle import OracleEmbedding, OraclePredictor

SHAPE = (24, 40)
DEPTH = 11


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaneEmbedding(OracleEmbedding):
    """Components whose logits have the image's own pixels."""

    @property
    def geometry(self):
        return Geometry(
            image_shape=self.image_shape,
            input_shape=self.image_shape,
            padded_shape=self.image_shape,
        )

    @property
    def low_res_shape(self):
        return self.image_shape


class StackOracle(OraclePredictor):
    """Knows a stack; `factors` lower the scores of single calls, by their number."""

    def __init__(self, stack, factors=None):
        super().__init__()
        self.stack, self.factors = stack, factors or {}
        self.embedded = []

    def embed_slice(self, index):
        self.embedded.append(index)
        found = self.embed(self.stack[index])
        return PlaneEmbedding(components=found.components)

    def predict(self, embedding, prompts, *, multimask_output=True):
        factor = np.float32(self.factors.get(self.n_decode, 1.0))
        answers = super().predict(embedding, prompts, multimask_output=multimask_output)
        return [dataclasses.replace(a, predicted_iou=a.predicted_iou * factor) for a in answers]


def square(row, col, side=8):
    mask = np.zeros(SHAPE, bool)
    mask[row : row + side, col : col + side] = True
    return mask


def drifting(row, depth=DEPTH, side=8):
    """A square that moves one pixel to the right with every slice."""
    return np.stack([square(row, 2 + z, side) for z in range(depth)])


def carry(oracle, annotated, config=None, **rules):
    """Run to the end; return what is shown by label and slice, the turns and the summary."""
    turns = []
    job = iter_propagate(
        oracle.embed_slice,
        oracle,
        annotated,
        n_slices=len(oracle.stack),
        config=config,
        **rules,
    )
    summary = run(job, turns.append)
    shown = {}
    for turn in turns:
        for mask in turn.masks:
            shown.setdefault(mask.label, {})[turn.index] = mask
    return shown, turns, summary


def reasons(summary):
    return {(end.source, end.step): (end.last, end.reason) for end in summary.ended}


def test_a_drifting_square_is_followed_exactly_both_ways():
    truth = drifting(5)
    oracle = StackOracle(truth)
    shown, turns, summary = carry(oracle, {7: {4: truth[4]}})
    assert [turn.index for turn in turns] == [5, 6, 7, 8, 9, 10, 3, 2, 1, 0]
    for index, mask in shown[7].items():
        assert np.array_equal(mask.patch.full_mask(SHAPE), truth[index])
        assert mask.patch.mask.shape == (8, 8)
        assert mask.neighbour_iou == pytest.approx(7 / 9)
        assert mask.predicted_iou == pytest.approx(0.95)
    assert summary.filled == {7: (0, 1, 2, 3, 5, 6, 7, 8, 9, 10)}
    assert reasons(summary) == {(4, 1): (10, "edge"), (4, -1): (0, "edge")}
    assert [(turn.done, turn.total) for turn in turns] == [(n, 10) for n in range(1, 11)]


def test_the_plain_way_follows_boxes():
    truth = drifting(5)
    shown, _, _ = carry(StackOracle(truth), {1: {0: truth[0]}}, PropagateConfig(prompts="box"))
    assert all(np.array_equal(m.patch.full_mask(SHAPE), truth[z]) for z, m in shown[1].items())
    assert len(shown[1]) == DEPTH - 1


def test_between_two_annotated_slices_both_ends_meet_in_the_middle():
    truth = drifting(5)
    shown, turns, summary = carry(StackOracle(truth), {1: {0: truth[0], 6: truth[6]}})
    sources = {index: mask.source for index, mask in shown[1].items()}
    assert sources == {1: 0, 2: 0, 3: 0, 4: 6, 5: 6, 7: 6, 8: 6, 9: 6, 10: 6}
    met = {(0, 1): (3, "met"), (6, -1): (3, "met")}
    assert reasons(summary) == met | {(0, -1): (0, "edge"), (6, 1): (10, "edge")}
    assert [turn.index for turn in turns] == [1, 2, 3, 7, 8, 9, 10, 5, 4, 3]
    assert (turns[-1].done, turns[-1].total) == (10, 10)
    assert turns[-1].masks == ()  # slice 3 was as good from below


def test_in_the_middle_the_better_score_stays():
    truth = drifting(5, depth=5)
    lower = dict.fromkeys(range(3), 0.9)  # 1 and 2 on the way up, 3 on the way down
    shown, _, _ = carry(StackOracle(truth, lower), {1: {0: truth[0], 4: truth[4]}})
    assert {index: mask.source for index, mask in shown[1].items()} == {1: 0, 2: 4, 3: 4}


@pytest.mark.parametrize(
    ("doubted", "expected"),
    [
        ({1: 0.1}, [1, 2, 7, 6, 5, 4, 3, 2]),  # on the way up at 2: the other side goes on to it
        ({5: 0.1}, [1, 2, 3, 4, 7, 6, 5]),  # on the way down at 6: the way up is taken up again
    ],
)
def test_where_one_side_ends_early_the_other_goes_on(doubted, expected):
    truth = drifting(5, depth=9)
    oracle = StackOracle(truth, doubted)
    _, turns, summary = carry(oracle, {1: {0: truth[0], 8: truth[8]}})
    assert [turn.index for turn in turns] == expected + [6] * (5 in doubted)
    assert summary.filled[1] == tuple(range(1, 8))
    assert sorted(reason for _, reason in reasons(summary).values()).count("doubtful") == 1
    assert turns[-1].done == turns[-1].total == 8


def test_an_object_ends_where_there_is_nothing():
    truth = drifting(5)
    stack = truth.copy()
    stack[7:] = False
    _, turns, summary = carry(StackOracle(stack), {1: {4: truth[4]}}, limits={1: (5, 10)})
    assert [turn.index for turn in turns] == [5, 6, 7]
    assert turns[-1].masks == ()
    assert [(end.last, end.reason) for end in turns[-1].ended] == [(6, "doubtful")]  # scored 0
    trusting = PropagateConfig(pred_iou_thresh=0, pred_iou_share=0)
    _, _, summary = carry(StackOracle(stack), {1: {4: truth[4]}}, trusting)
    assert reasons(summary)[4, 1] == (6, "empty")
    assert summary.filled[1] == (0, 1, 2, 3, 5, 6)


def test_an_object_ends_where_it_changes_too_much():
    stack = np.stack([square(5, 5), square(5, 5), square(2, 2, 20)])
    _, _, summary = carry(StackOracle(stack), {1: {0: stack[0]}})
    assert reasons(summary)[0, 1] == (1, "changed")  # 64 of 400 pixels
    _, _, summary = carry(
        StackOracle(stack),
        {1: {0: stack[0]}},
        PropagateConfig(neighbour_iou_thresh=0.1, max_growth=10),
    )
    assert reasons(summary)[0, 1] == (2, "edge")
    _, _, summary = carry(
        StackOracle(stack), {1: {0: stack[0]}}, PropagateConfig(neighbour_iou_thresh=0.1)
    )
    assert reasons(summary)[0, 1] == (1, "changed")  # more than four times as large


@pytest.mark.parametrize(
    ("factor", "config", "last"),
    [
        (0.25, PropagateConfig(pred_iou_share=0), 5),
        (0.8, PropagateConfig(), 5),
        (0.8, PropagateConfig(pred_iou_share=0.7), 10),
    ],
)
def test_an_object_ends_where_the_score_falls(factor, config, last):
    truth = drifting(5)
    oracle = StackOracle(truth, {1: factor})  # the second slice up
    _, _, summary = carry(oracle, {1: {4: truth[4]}}, config)
    assert reasons(summary)[4, 1] == (last, "doubtful" if last < 10 else "edge")


class Hazy(StackOracle):
    """Prompts are always answered with a square; its instance decoder sees middles fade."""

    def __init__(self, stack, clearness):
        super().__init__(stack)
        self.clearness = clearness

    def instance_maps(self, embedding):
        foreground, *heights = super().instance_maps(embedding)
        clear = self.clearness[self.embedded[-1]]
        return np.stack([foreground, *(clear * height for height in heights)])


def test_an_object_ends_where_no_middle_is_seen():
    truth = drifting(5)
    clearness = [0.9] * 7 + [0.3] * 4
    _, _, summary = carry(Hazy(truth, clearness), {1: {4: truth[4]}})
    assert reasons(summary) == {(4, 1): (6, "doubtful"), (4, -1): (0, "edge")}
    blind = Hazy(truth, clearness)
    blind.has_instance_decoder = False
    assert reasons(carry(blind, {1: {4: truth[4]}})[2])[4, 1] == (10, "edge")


def test_what_the_instance_decoder_sees_mends_an_answer():
    """Answers are hesitant and too narrow; the instance decoder sees all of the object."""
    truth = drifting(5)

    class Hesitant(StackOracle):
        def decode(self, embedding, prompts, *, multimask_output=True):
            logits, scores = super().decode(embedding, prompts, multimask_output=multimask_output)
            kept = logits[..., 2:] > 0
            logits[..., 2:] = torch.where(kept & (logits[..., :-2] > 0), 1.0, -1.0)
            return logits, scores

    shown, _, _ = carry(Hesitant(truth), {1: {4: truth[4]}}, limits={1: (5, 5)})
    assert np.array_equal(shown[1][5].patch.full_mask(SHAPE), truth[5])
    alone = Hesitant(truth)
    alone.has_instance_decoder = False
    shown, _, _ = carry(alone, {1: {4: truth[4]}}, limits={1: (5, 5)})
    assert not np.array_equal(shown[1][5].patch.full_mask(SHAPE), truth[5])


def test_small_masks_count_as_empty_and_the_range_is_kept():
    truth = drifting(5)
    _, _, summary = carry(StackOracle(truth), {1: {4: truth[4]}}, PropagateConfig(min_area=65))
    assert reasons(summary) == {(4, 1): (4, "empty"), (4, -1): (4, "empty")}
    _, _, summary = carry(StackOracle(truth), {1: {4: truth[4]}}, PropagateConfig(max_slices=2))
    assert reasons(summary) == {(4, 1): (6, "edge"), (4, -1): (2, "edge")}


def test_stops_are_not_entered():
    truth = drifting(5)
    annotated = {1: {2: truth[2], 8: truth[8]}}
    _, _, summary = carry(StackOracle(truth), annotated, stops={1: [0, 5]})
    assert summary.filled == {1: (1, 3, 4, 6, 7, 9, 10)}
    assert reasons(summary) == {
        (2, -1): (1, "stop"),
        (2, 1): (4, "stop"),
        (8, -1): (6, "stop"),
        (8, 1): (10, "edge"),
    }


def test_annotated_masks_are_never_changed():
    """The oracle knows one object in slice 4; a person drew two halves there."""
    stack = drifting(5)
    left, right = stack[4].copy(), stack[4].copy()
    left[:, 10:], right[:, :10] = False, False
    annotated = {1: {2: stack[2], 4: left}, 2: {4: right}}
    shown, turns, _ = carry(StackOracle(stack), annotated, sources={1: [2], 2: []})
    assert sorted(shown[1]) == [0, 1, 3]
    assert 4 not in [turn.index for turn in turns]
    shown, _, summary = carry(
        StackOracle(stack), {1: {2: stack[2]}, 2: {4: right}}, sources={1: [2]}
    )
    assert np.array_equal(shown[1][4].patch.full_mask(SHAPE), left)
    assert 2 not in shown
    assert summary.filled == {1: (0, 1, 3, 4, 5, 6, 7, 8, 9, 10)}


def test_many_objects_take_one_call_for_each_slice():
    truths = [drifting(row, side=6) for row in (0, 8, 16)]
    oracle = StackOracle(np.any(truths, 0))
    annotated = {label: {4: truth[4]} for label, truth in enumerate(truths, start=1)}
    annotated[2] = {2: truths[1][2]}
    shown, turns, _ = carry(oracle, annotated, PropagateConfig(objects_per_batch=8))
    assert oracle.n_decode == len(oracle.embedded) == len(turns) == 8 + 4  # up from 2, down from 4
    assert len(turns[-1].masks) == 3
    for label, truth in enumerate(truths, start=1):
        assert len(shown[label]) == 10
        for index, mask in shown[label].items():
            assert np.array_equal(mask.patch.full_mask(SHAPE), truth[index])
    oracle = StackOracle(np.any(truths, 0))
    carry(oracle, annotated, PropagateConfig(objects_per_batch=2))
    assert oracle.n_decode > len(oracle.embedded) == 8 + 4


def test_closing_cancels_at_once():
    truth = drifting(5)
    oracle = StackOracle(truth)
    job = iter_propagate(oracle.embed_slice, oracle, {1: {4: truth[4]}}, n_slices=DEPTH)
    assert oracle.n_embed == 0
    assert [next(job).index, next(job).index] == [5, 6]
    job.close()
    assert oracle.n_embed == oracle.n_decode == 2
    assert next(job, None) is None


def test_from_one_corrected_slice_only_what_follows_is_done_anew():
    truth = drifting(5)
    annotated = {1: {2: truth[2], 5: truth[5], 9: truth[9]}, 2: {2: square(16, 30)}}
    shown, turns, summary = carry(
        StackOracle(truth), annotated, sources={1: [5]}, limits={1: (6, DEPTH - 1)}
    )
    assert [turn.index for turn in turns] == [6, 7, 8]  # 9 is not crossed
    assert list(shown) == [1]
    assert reasons(summary) == {(5, 1): (8, "met"), (5, -1): (5, "edge")}


def test_of_two_that_want_an_object_the_nearer_annotated_slice_has_it():
    truth = np.stack([square(5, 5)] * 10)
    shown, turns, summary = carry(StackOracle(truth), {1: {0: truth[0]}, 2: {9: truth[9]}})
    assert summary.filled == {1: (1, 2, 3, 4), 2: (5, 6, 7, 8)}
    assert reasons(summary) == {
        (0, 1): (8, "empty"),  # 9 is annotated
        (0, -1): (0, "edge"),
        (9, 1): (9, "edge"),
        (9, -1): (5, "empty"),
    }
    given_up = [mask.patch.area for turn in turns[9:] for mask in turn.masks if mask.label == 1]
    assert given_up == [0, 0, 0, 0]
    assert shown[1][4].patch.area == 64


def test_a_pixel_goes_to_the_highest_logit():
    one = Claim(np.full((4, 6), 2, np.float32), (0, 0), 0.9, 0.9)
    two = Claim(np.full((4, 6), 3, np.float32), (0, 4), 0.8, 0.8)
    equal = Claim(np.full((4, 2), 3, np.float32), (0, 8), 0.9, 0.9)
    taken = MaskPatch.cut(np.ones((1, 1), bool), (0, 0))
    patches = share_pixels([one, two, equal], [taken], (6, 12))
    assert [patch.area for patch in patches] == [4 * 4 - 1, 4 * 6, 0]


def test_an_object_that_divides_is_followed_with_the_larger_part():
    """Both halves answer to the box: the oracle names the one with more pixels."""
    stack = np.zeros((4, *SHAPE), bool)
    stack[:2, 4:12, 4:20] = True
    stack[2:, 4:12, 4:15] = True
    stack[2:, 4:12, 16:20] = True
    config = PropagateConfig(prompts="box", neighbour_iou_thresh=0.5)
    shown, _, summary = carry(StackOracle(stack), {1: {0: stack[0]}}, config)
    assert shown[1][2].patch.box == (4, 4, 11, 14)
    assert reasons(summary)[0, 1] == (3, "edge")


def test_an_object_that_is_missing_in_one_slice_ends_there_unless_annotated_beyond():
    truth = drifting(5)
    stack = truth.copy()
    stack[5] = False
    _, _, summary = carry(StackOracle(stack), {1: {2: truth[2]}})
    assert reasons(summary)[2, 1][0] == 4
    _, _, summary = carry(StackOracle(stack), {1: {2: truth[2], 7: truth[7]}})
    assert summary.filled == {1: (0, 1, 3, 4, 6, 8, 9, 10)}


MASK = square(5, 5)


@pytest.mark.parametrize(
    ("annotated", "rules", "message"),
    [
        ({}, {}, "nothing to propagate"),
        ({1: {}}, {}, "nothing to propagate"),
        ({1: {11: MASK}}, {}, "slice 11; the stack has slices 0 to 10"),
        ({1: {0: MASK}, 2: {0: MASK[:9]}}, {}, r"got bool \(9, 40\) .* and \(24, 40\) before"),
        ({1: {0: MASK.astype(int)}}, {}, "must be boolean"),
        ({1: {0: MASK[None]}}, {}, r"must be boolean, \(H, W\)"),
        ({1: {0: ~MASK & MASK}}, {}, "object 1 in slice 0 is empty; leave it"),
        ({1: {0: MASK}}, {"stops": {2: [3]}}, "stops speak of object 2"),
        ({1: {0: MASK}}, {"stops": {1: [0]}}, "both annotated and a stop"),
        ({1: {0: MASK}}, {"stops": {1: [99]}}, "slices from 0 to 10, got 99"),
        ({1: {0: MASK}}, {"sources": {1: [3]}}, r"annotated slices \[0\], got 3"),
        ({1: {0: MASK}}, {"limits": {1: (5, 3)}}, "first <= last"),
    ],
)
def test_bad_input_is_refused_at_once(annotated, rules, message):
    oracle = StackOracle(drifting(5))
    with pytest.raises(ValueError, match=message):
        iter_propagate(oracle.embed_slice, oracle, annotated, n_slices=DEPTH, **rules)


def test_masks_of_another_shape_than_the_image_are_refused():
    oracle = StackOracle(drifting(5))
    with pytest.raises(ValueError, match=r"Slice 1 has the shape \(24, 40\)"):
        carry(oracle, {1: {0: np.ones((12, 20), bool)}})


def test_settings_are_a_form_and_are_checked():
    for spec in dataclasses.fields(PropagateConfig):
        assert spec.metadata["label"]
        assert spec.metadata["tooltip"]
    with pytest.raises(ValueError, match="prompts must be one of"):
        PropagateConfig(prompts="points")
    with pytest.raises(ValueError, match=r"pred_iou_thresh must lie between 0.0 and 1.0, got 2"):
        PropagateConfig(pred_iou_thresh=2)
    with pytest.raises(ValueError, match="max_slices must lie between"):
        PropagateConfig(max_slices=-1)
