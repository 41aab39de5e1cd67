"""The grid gives the reference's records: same count, masks, scores, from the same weights."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sam.model.checkpoints import read_checkpoint
from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.segmentation.full_resolution import PointMasks
from napari_sam.segmentation.grid import iter_candidates, iter_masks
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.progress import run
from napari_sam.segmentation.selection import Selector
from tests.oracle import OraclePredictor
from tests.reference_generator import reference_masks

FIXTURES = Path(__file__).parent.parent / "fixtures" / "parity"
OFFICIAL = EverythingConfig(
    mode="grid",
    points_per_side=7,
    pred_iou_thresh=0.3,
    stability_score_thresh=0.3,
    box_nms_thresh=0.9999,
)
NANO = EverythingConfig(
    mode="grid",
    points_per_side=10,
    pred_iou_thresh=0.4,
    stability_score_thresh=0.6,
    object_diameter=40,
    crop_n_points_downscale_factor=2,
)


def small() -> Sam:
    """An official network whose decoder is too narrow for folded attention to pay."""
    return read_checkpoint(FIXTURES / "sam_small.safetensors")


def wide() -> Sam:
    """A network with the official decoder, whose attention is folded."""
    torch.manual_seed(1)
    encoder = ViTConfig(
        image_size=256,
        embed_dim=32,
        depth=1,
        num_heads=2,
        mlp_dim=32,
        global_attn_indexes=(0,),
    )
    return Sam(SamConfig(encoder=encoder)).eval()


@pytest.fixture(scope="module", params=[small, wide])
def official(request) -> Predictor:
    """A network with random weights, whose logits and scores are spread like a trained one's."""
    model = request.param()
    decoder = model.mask_decoder
    with torch.no_grad():
        for layer in decoder.output_upscaling:
            if isinstance(layer, torch.nn.ConvTranspose2d):  # masks have outlines, not dots
                layer.weight.copy_(layer.weight[:, :, :1, :1].expand_as(layer.weight))
        embedding = Predictor(model).embed(picture())
        ((masks, _),) = Predictor(model).iter_points(embedding, np.array([[45.0, 60.0]]), -9.0)
        for mlp in decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(4 / masks.logits.std())
            mlp.layers[-1].bias.mul_(4 / masks.logits.std())
        head = decoder.iou_prediction_head.layers[-1]
        head.weight.mul_(0.2 / masks.predicted_iou.std())
        head.bias.fill_(0.6)
    return Predictor(model, precision="float32")


@pytest.fixture(scope="module")
def nano() -> Predictor:
    return Predictor("nano", device="cpu")


def picture() -> np.ndarray:
    """Discs of two sizes on black, which crops see larger, and some of them alone."""
    image = np.zeros((180, 240, 3), np.uint8)
    rows, cols = np.mgrid[:180, :240]
    for row, col, radius, colour in (
        (45, 60, 14, (255, 90, 0)),
        (50, 175, 22, (200, 200, 250)),
        (130, 70, 25, (90, 255, 60)),
        (128, 185, 10, (255, 255, 255)),
        (95, 120, 12, (120, 0, 200)),
    ):
        image[np.hypot(rows - row, cols - col) < radius] = colour
    return image


def agreement(found, expected, shape) -> tuple[float, float]:
    """Share of the reference's masks that are found at IoU >= 0.98, and the worst score's error."""
    masks = [record.full_mask(shape) for record in found]
    taken: set[int] = set()
    worst = 0.0
    for one in expected:
        ious = [(mask & one.mask).sum() / (mask | one.mask).sum() for mask in masks]
        best = max((i for i in range(len(ious)) if i not in taken), key=ious.__getitem__)
        if ious[best] >= 0.98:
            taken.add(best)
            errors = (
                abs(found[best].predicted_iou - one.iou),
                abs(found[best].stability_score - one.stability),
            )
            worst = max(worst, *errors)
    return len(taken) / len(expected), worst


def check_against_reference(predictor, config, least: int) -> None:
    image = picture()
    found = run(iter_masks(predictor, image, config))
    expected = reference_masks(predictor, image, config)
    assert len(found) == len(expected) >= least
    share, worst = agreement(found, expected, image.shape[:2])
    assert share >= 0.99
    assert worst <= 1e-3


def test_official_networks_give_the_records_of_the_reference(official):
    check_against_reference(official, OFFICIAL, 1)


@pytest.mark.parametrize("min_area", [0, 100])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_crops_and_small_regions_are_the_reference_s(nano, layers, min_area):
    config = dataclasses.replace(NANO, crop_n_layers=layers, min_mask_region_area=min_area)
    check_against_reference(nano, config, 5)


def test_candidates_become_the_same_records_by_selection(nano):
    config = dataclasses.replace(NANO, crop_n_layers=1)
    image = picture()
    records = run(iter_masks(nano, image, config))
    candidates = run(iter_candidates(nano, image, config))
    selected = Selector(candidates, config.box_nms_thresh).select(
        pred_iou_thresh=config.pred_iou_thresh,
        stability_score_thresh=config.stability_score_thresh,
        crop_nms_thresh=config.crop_nms_thresh,
    )
    assert len(candidates) > len(records)
    assert [r.box for r in selected] == [r.box for r in records]
    unpacked = [one.unpacked() for one in selected]
    assert all(
        np.array_equal(one.mask, other.mask) for one, other in zip(unpacked, records, strict=True)
    )
    assert [r.area for r in records] == [int(one.mask.sum()) for one in unpacked]


def test_candidates_take_a_bit_a_pixel(nano):
    candidates = run(iter_candidates(nano, picture(), NANO))
    assert candidates
    for one in candidates:
        held = [value for value in vars(one).values() if isinstance(value, np.ndarray)]
        height, width = (part.stop - part.start for part in one.slices)
        assert sum(array.nbytes for array in held) == -(-height * width // 8)


def test_batches_of_any_size_give_the_same_records(nano):
    image = picture()
    one, other = (
        run(iter_masks(nano, image, dataclasses.replace(NANO, points_per_batch=size)))
        for size in (1, 100)
    )
    assert [r.box for r in one] == [r.box for r in other]


def check_best_iou(predictor: Predictor) -> None:
    embedding = predictor.embed(picture())
    points = np.array([[45.0, 60.0], [5.0, 5.0], [130.0, 70.0], [90.0, 200.0]])
    every, best_iou = PointMasks.joined(predictor.iter_points(embedding, points, -9.0))
    expected = every.predicted_iou.reshape(len(points), -1).amax(1)
    assert torch.equal(best_iou, expected)
    least = float(expected.median())
    some, best_iou = PointMasks.joined(predictor.iter_points(embedding, points, least))
    assert torch.allclose(best_iou, expected, atol=1e-5)
    assert set(some.origins.tolist()) == set(torch.nonzero(expected > least)[:, 0].tolist())


def test_the_best_predicted_iou_is_told_of_points_that_draw_nothing_too(official):
    check_best_iou(official)


def test_the_best_predicted_iou_is_told_where_drawn_masks_are_judged(nano):
    check_best_iou(nano)


def test_an_adaptive_grid_finds_the_same_objects_with_fewer_points():
    image = np.zeros((256, 256))
    for row in range(20, 240, 60):
        for col in range(20, 240, 60):
            image[row : row + 25, col : col + 25] = 1
    full = EverythingConfig(mode="grid", points_per_side=32, pred_iou_thresh=0.92)
    adaptive = dataclasses.replace(full, points="adaptive")
    every, fewer = OraclePredictor(), OraclePredictor()
    expected = {record.box for record in run(iter_masks(every, image, full))}
    found = {record.box for record in run(iter_masks(fewer, image, adaptive))}
    assert found == expected
    assert len(found) == 16
    assert every.n_points == 32**2
    assert fewer.n_points <= 0.4 * every.n_points
