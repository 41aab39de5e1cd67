"""A second look at objects of another size than the image was scaled for."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.data import cell

from napari_sam.model.configs import ConvEncoderConfig, SamConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation import closer_look
from napari_sam.segmentation.cropped_views import CroppedView
from napari_sam.segmentation.embedding import Picture
from napari_sam.segmentation.instance_hints import InstanceHints
from napari_sam.segmentation.masks import box_iou, mask_boxes
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.segmentation.tiles import Tile
from napari_sam.training.metrics import mask_iou

USUAL = 40.0
SMALL, LARGE = (320, 80), (150, 330)


def disc(shape, centre, diameter):
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - centre[0], cols - centre[1]) < diameter / 2


def drawn(seed):
    """Discs of the usual size, one of a quarter and one of 2.5 times its diameter."""
    shape = 420, 460
    truth = {SMALL: disc(shape, SMALL, 10), LARGE: disc(shape, LARGE, 100)}
    discs = sum(truth.values())
    for row in range(40, 420, 80):
        for col in (40, 120, 200):
            discs = discs + disc(shape, (row, col), USUAL)
    return noisy(discs > 0, seed), truth


def alone(seed):
    """One disc, ten times as large as `USUAL / 3`."""
    truth = disc((300, 460), LARGE, 140)
    return noisy(truth, seed), {LARGE: truth}


def noisy(discs, seed):
    noise = np.random.default_rng(seed).normal(0, 6, discs.shape)
    return ndimage.gaussian_filter(40.0 + 120 * discs, 1) + noise


@pytest.fixture(scope="module")
def field():
    return drawn(0)


@pytest.fixture(scope="module")
def nano():
    return Predictor("nano", "cpu")


@pytest.fixture(scope="module")
def embedding(nano, field):
    return nano.embed(field[0], object_diameter=USUAL)


@pytest.mark.parametrize(
    ("picture", "centre", "usual", "least_gain"),
    [(drawn, SMALL, USUAL, -0.05), (alone, LARGE, USUAL / 3, 0.2)],
)
def test_objects_of_other_sizes_are_seen_well(nano, picture, centre, usual, least_gain):
    """In the mean over noises: nine pixels of a small disc's edge are a matter of chance."""
    prompts = Prompts(points=[centre])
    ious = []
    for seed in range(8):
        image, truth = picture(seed)
        embedding = nano.embed(image, object_diameter=usual)
        first = nano.predict(embedding, prompts)
        closer = nano.predict(embedding, prompts, closer_look=True)
        ious.append([mask_iou(one.masks[one.best], truth[centre]) for one in (first, closer)])
        assert ious[-1][1] > ious[-1][0] - 0.05
    was, found = np.mean(ious, 0)
    assert found > 0.9
    assert found - was > least_gain


def test_a_correction_goes_on_from_the_closer_look(nano, embedding, field):
    """Its logits are those of the image, and mean the same object when they are given back."""
    centre, truth = LARGE, field[1][LARGE]
    closer = nano.predict(embedding, Prompts(points=[centre]), closer_look=True)
    logits = closer.low_res_logits[closer.best]
    assert logits.shape == embedding.low_res_shape
    coarse = nano.upscale(embedding, torch.from_numpy(logits)).numpy() > 0
    assert mask_iou(coarse, closer.masks[closer.best]) > 0.9
    more = Prompts(points=[centre, (centre[0] + 35, centre[1])], mask_input=logits)
    again = nano.predict(embedding, more, closer_look=True)
    assert mask_iou(again.masks[again.best], truth) > 0.9


@pytest.fixture
def unhinted(monkeypatch):
    """Leave what the instance decoder sees aside, and let no candidates vote."""
    monkeypatch.setattr(InstanceHints, "find", lambda *_: None)
    monkeypatch.setattr(closer_look, "majority", max_rated)


def max_rated(answers):
    return max(answers, key=lambda answer: answer.ratings.max())


@pytest.mark.usefixtures("unhinted")
def test_objects_of_the_usual_size_are_not_looked_at_again(nano, embedding, monkeypatch):
    monkeypatch.setattr(nano, "embed", None)
    prompts = [Prompts(points=[(120, 120)]), Prompts(box=(20, 100, 60, 140))]
    first = nano.predict(embedding, prompts)
    for one, other in zip(first, nano.predict(embedding, prompts, closer_look=True), strict=True):
        assert np.array_equal(one.low_res_logits, other.low_res_logits)


def test_a_doubtful_look_from_further_away_does_not_stand(nano):
    """A click on flat ground is answered with a patch around it, not with half of the picture."""
    picture = cell()
    embedding = nano.embed(picture)
    ground = Prompts(points=[(100, 450)])
    first = nano.predict(embedding, ground)
    assert first.ratings.max() < 0.4
    closer = nano.predict(embedding, ground, closer_look=True)
    assert closer.areas[closer.best] < 0.05 * picture.size


@pytest.mark.usefixtures("unhinted")
def test_only_boxes_alone_are_filled(nano, embedding):
    box = (24, 96, 62, 142)
    for prompts, filled in (
        (Prompts(box=box), True),
        (Prompts(box=box, points=[(40, 120)]), False),
        (Prompts(points=[(40, 120)]), False),
    ):
        first = nano.predict(embedding, prompts)
        closer = nano.predict(embedding, prompts, closer_look=True)
        assert np.array_equal(first.masks, closer.masks) is not filled
        if filled:
            assert all(ndimage.label(mask)[1] == 1 for mask in closer.masks)
            bounds = mask_boxes(torch.from_numpy(closer.masks)).numpy()
            fit = box_iou(np.add(box, (0, 0, 1, 1)), bounds).astype(first.box_fit.dtype)
            assert (fit >= first.box_fit).all()
        unscaled = dataclasses.replace(embedding, object_diameter=None)
        stands = nano.predict(unscaled, prompts, closer_look=True)
        assert np.array_equal(first.masks, stands.masks)


@pytest.fixture
def looks(nano, monkeypatch):
    """Diameters that parts are embedded for."""
    made = []

    def noted(*args, **options):
        made.append(options["object_diameter"])
        return Predictor.embed(nano, *args, **options)

    monkeypatch.setattr(nano, "embed", noted)
    return made


def test_neighbours_share_a_look(nano, field, looks, monkeypatch):
    embedding = nano.embed(field[0], object_diameter=USUAL)
    looks.clear()
    monkeypatch.setattr(closer_look, "_SURE", 0)
    row, col = SMALL
    box = row - 5, col - 5, row + 5, col + 5
    beside = row - 5, col - 6, row + 4, col + 5
    prompts = [Prompts(box=box), Prompts(box=beside), Prompts(box=box)]
    nano.predict(embedding, prompts, closer_look=True)
    nano.predict(embedding, prompts[:1], closer_look=True)
    assert looks == [USUAL / 4]


def test_what_is_doubtful_is_looked_at_in_other_ways(nano, looks, monkeypatch):
    """Mirrored, from nearer, further and as far, while in doubt; only at first."""
    noise = np.random.default_rng(2).normal(100, 20, (150, 170))
    embedding = nano.embed(noise, object_diameter=USUAL)
    looks.clear()
    monkeypatch.setattr(closer_look, "_octaves", lambda *_: [0])
    first = nano.predict(embedding, Prompts(points=[(70, 80)]), closer_look=True)
    assert first.ratings.max() < closer_look._SURE
    assert looks == pytest.approx([USUAL * 2**away for away in (-1 / 3, 1 / 3, 0)])
    looks.clear()
    more = Prompts(points=[(70, 80), (20, 20)], point_labels=[1, 0])
    nano.predict(embedding, more, closer_look=True)
    assert not looks
    monkeypatch.setattr(closer_look, "_SURE", 0)
    nano.predict(embedding, Prompts(points=[(30, 80)]), closer_look=True)
    assert not looks


@pytest.mark.usefixtures("unhinted")
def test_without_its_picture_an_embedding_is_looked_at_once(nano, embedding):
    bare = nano.rebuild(embedding.image, embedding.geometry, embedding.object_diameter)
    prompts = Prompts(points=[LARGE])
    first, closer = (nano.predict(bare, prompts, closer_look=look) for look in (False, True))
    assert np.array_equal(first.low_res_logits, closer.low_res_logits)


def test_a_mask_alone_that_finds_nothing_is_no_reason_to_look(nano, embedding):
    nothing = np.full(embedding.low_res_shape, -20, np.float32)
    answer = nano.predict(embedding, Prompts(mask_input=nothing), closer_look=True)
    assert answer.masks.shape == (3, *embedding.image_shape)


def test_a_picture_is_seen_in_its_own_contrast(nano, field, embedding):
    assert isinstance(embedding.picture, Picture)
    low, high = embedding.picture.contrast_limits
    assert (low, high) == pytest.approx(np.percentile(field[0], (0.1, 99.9)))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("diameter", [25.0, 80.0])
def test_logits_keep_their_place(diameter, mirrored):
    """A plane that rises with row and column is the same plane after both ways."""
    encoder = ConvEncoderConfig(channels=(16,) * 5, blocks=(1,) * 5, out_channels=32)
    predictor = Predictor(Sam(SamConfig(encoder=encoder, object_diameter=40.0)))
    image = np.random.default_rng(1).random((300, 330))
    tile = Tile(60, 90, 200, 180)
    view = CroppedView(tile, mirrored)
    whole = predictor.embed(image, object_diameter=40.0)
    near = predictor.embed(view.cut(image), object_diameter=diameter)

    def plane(embedding, place=lambda rows, cols: (rows, cols)):
        per_row, per_col = embedding.geometry.pixels_per_logit(embedding.low_res_shape)
        rows, cols = np.ogrid[: embedding.low_res_shape[0], : embedding.low_res_shape[1]]
        rows, cols = place((rows + 0.5) * per_row - 0.5, (cols + 0.5) * per_col - 0.5)
        return (rows * 0.02 + cols * 0.03 - 8).astype(np.float32)

    def seen_there(rows, cols):
        return rows + tile.top, (tile.width - 1 - cols if mirrored else cols) + tile.left

    prompt = Prompts(points=[(100, 120)], box=(80, 100, 130, 150), mask_input=plane(whole))
    asked = view.ask(prompt, whole, near)
    assert np.allclose(asked.mask_input, plane(near, seen_there), atol=1e-3)
    assert asked.points.tolist() == [[40, 149 if mirrored else 30]]
    assert asked.box.tolist() == [20, 119 if mirrored else 10, 70, 169 if mirrored else 60]
    answer = predictor.predict(near, asked)
    seen = answer.__class__.of_whole(
        answer.masks, answer.predicted_iou, plane(near, seen_there)[None].repeat(3, 0)
    )
    placed = view.place(seen, whole, near)
    known = placed.low_res_logits[0] > -15
    per_row, per_col = whole.geometry.pixels_per_logit(whole.low_res_shape)
    inside = tile.height // per_row - 1, tile.width // per_col - 1
    assert known.sum() >= inside[0] * inside[1]
    assert np.allclose(placed.low_res_logits[0][known], plane(whole)[known], atol=1e-3)
    there = seen.masks[..., ::-1] if mirrored else seen.masks
    assert np.array_equal(placed.masks[(slice(None), *tile.region)], there)
