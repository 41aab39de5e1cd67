"""What the instance decoder sees under a click or in a box."""

import gc
import pickle

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_sam.model.configs import ConvEncoderConfig, SamConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation import closer_look
from napari_sam.segmentation.decoding import Window
from napari_sam.segmentation.evidence import rate
from napari_sam.segmentation.instance_hints import InstanceHints
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.training.metrics import mask_iou

SHAPE = 300, 340
CENTRE, BESIDE = (130, 180), (130, 100)


def disc(centre):
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(rows - centre[0], cols - centre[1]) < 20


def box_of(mask):
    rows, cols = ndimage.find_objects(mask.astype(int))[0]
    return rows.start, cols.start, rows.stop - 1, cols.stop - 1


@pytest.fixture(scope="module")
def nano():
    return Predictor("nano", "cpu")


@pytest.fixture(scope="module")
def embedding(nano):
    discs = [disc((row, col)) for row in range(50, 300, 80) for col in range(20, 340, 80)]
    noise = np.random.default_rng(0).normal(0, 6, SHAPE)
    image = ndimage.gaussian_filter(40 + 120.0 * np.any(discs, axis=0), 1) + noise
    return nano.embed(image, object_diameter=40 / 1.3)  # not in the image's own pixels


@pytest.fixture
def hints(nano):
    return InstanceHints(nano)


@pytest.mark.parametrize("prompts", [Prompts(points=[CENTRE]), Prompts(box=box_of(disc(CENTRE)))])
def test_a_hint_is_the_object_under_a_click_or_in_a_box(nano, embedding, hints, prompts):
    hint = hints.find(embedding, prompts)
    assert hint.shape == embedding.low_res_shape
    mask = nano.upscale(embedding, torch.from_numpy(hint)).numpy() > 0
    assert mask_iou(mask, disc(CENTRE)) > 0.9


def test_a_box_decides_what_is_one_object(nano, embedding, hints, monkeypatch):
    """Two peaks with a shallow saddle are one object to a wide box, and two to close ones."""
    height, width = embedding.geometry.padded_shape
    rows, cols = np.mgrid[:height, :width]
    near = [np.clip(1 - np.hypot(rows - 100, cols - at) / 30, 0, 1) for at in (100, 130)]
    closeness = np.max(near, axis=0) * 0.5 + 0.25 * (np.sum(near, axis=0) > 0)
    maps = np.stack([closeness > 0, closeness, closeness]).astype(np.float32)
    logits = torch.logit(torch.from_numpy(maps), eps=1e-4)[None]
    monkeypatch.setattr(nano.model, "instance_maps", lambda _: logits)
    scale = embedding.geometry.scale[0]
    boxes = {"both": (71, 71, 129, 159), "left": (71, 71, 129, 115), "right": (71, 116, 129, 159)}
    found = {
        name: hints.find(embedding, Prompts(box=np.round(np.array(box) / scale))) > 0
        for name, box in boxes.items()
    }
    assert not (found["left"] & found["right"]).any()
    assert mask_iou(found["both"], found["left"] | found["right"]) > 0.95
    single = hints.find(embedding, Prompts(points=[(100 / scale, 100 / scale)])) > 0
    assert any(np.array_equal(single, mask) for mask in found.values())


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(points=[(90, 140)]),  # between objects
        Prompts(box=(60, 60, 200, 300)),  # around several
        Prompts(box=(85, 135, 95, 145)),  # around none
        Prompts(points=[CENTRE], point_labels=[0]),
        Prompts(points=[CENTRE, BESIDE]),
        Prompts(points=[CENTRE], box=box_of(disc(CENTRE))),
    ],
)
def test_where_nothing_is_seen_or_more_is_said_there_is_none(embedding, hints, prompts):
    assert hints.find(embedding, prompts) is None


def test_a_mask_from_before_says_more_than_a_hint(embedding, hints):
    before = np.zeros(embedding.low_res_shape, np.float32)
    assert hints.find(embedding, Prompts(points=[CENTRE], mask_input=before)) is None


def test_networks_without_an_instance_decoder_have_no_hints():
    encoder = ConvEncoderConfig(channels=(16, 16, 32), blocks=(1, 1, 1), out_channels=32)
    bare = Predictor(Sam(SamConfig(encoder=encoder, object_diameter=40.0)))
    embedding = bare.embed(np.random.default_rng(0).random((40, 50)))
    assert InstanceHints(bare).find(embedding, Prompts(points=[(20, 20)])) is None


def test_objects_are_separated_once_and_forgotten_with_the_embedding(nano, hints, monkeypatch):
    calls = []

    def counted(image):
        calls.append(image)
        return type(nano.model).instance_maps(nano.model, image)

    monkeypatch.setattr(nano.model, "instance_maps", counted)
    embedding = nano.embed(np.zeros((64, 64), np.float32), object_diameter=40)
    for point in [(10, 10), (50, 50)]:
        hints.find(embedding, Prompts(points=[point]))
    assert len(calls) == 1
    for box in [(10, 10, 20, 20), (50, 50, 60, 60)]:
        hints.find(embedding, Prompts(box=box))
    assert len(calls) == 2
    del embedding
    gc.collect()
    assert not hints._usual
    assert not hints._every


def test_a_predictor_with_hints_goes_to_another_process(nano, embedding):
    prompts = Prompts(points=[CENTRE])
    here = nano.predict(embedding, prompts, closer_look=True)
    there = pickle.loads(pickle.dumps(nano)).predict(embedding, prompts, closer_look=True)
    assert np.array_equal(here.masks, there.masks)


def nothing(model, tokens, prompts, geometry):
    """Decode as a network that sees nothing and knows it."""
    low_res = 4 * tokens.grid[0], 4 * tokens.grid[1]
    window = Window(torch.full((4, *low_res), -9.0), torch.full((4,), 0.1), (0, 0), low_res)
    return enumerate(window for _ in prompts)


def test_an_instance_that_a_box_fits_stands_where_the_mask_decoder_fails(
    nano, embedding, monkeypatch
):
    truth = disc(CENTRE)
    first = nano.predict(embedding, Prompts(box=box_of(truth)))
    monkeypatch.setattr(closer_look, "rate", lambda _, *seen: rate(None, *seen))
    monkeypatch.setattr(closer_look, "decode_prompts", nothing)
    monkeypatch.setattr("napari_sam.segmentation.decoding.decode_prompts", nothing)
    assert not nano.predict(embedding, Prompts(box=box_of(truth))).areas.any()
    found = nano.predict(embedding, Prompts(box=box_of(truth)), closer_look=True)
    assert len(found) == len(first)
    assert mask_iou(found.masks[found.best], truth) > 0.9
    assert 0.7 < found.ratings.max() <= 0.8


def test_a_click_is_answered_again_from_the_hint(nano, embedding, monkeypatch):
    asked = []
    decode = closer_look.decode_prompts

    def noted(model, tokens, prompts, geometry):
        asked.extend(prompts)
        return decode(model, tokens, prompts, geometry)

    monkeypatch.setattr(closer_look, "decode_prompts", noted)
    ground, both = Prompts(points=[(90, 140)]), Prompts(points=[CENTRE, (CENTRE[0] + 5, CENTRE[1])])
    answers = nano.predict(embedding, [ground, Prompts(points=[CENTRE]), both], closer_look=True)
    hinted = [prompt for prompt in asked if prompt.mask_input is not None]
    assert [np.asarray(prompt.points).tolist() for prompt in hinted] == [[list(CENTRE)]]
    assert mask_iou(answers[1].masks[answers[1].best], disc(CENTRE)) > 0.95
