"""Embedding and decoding with a tiny random network."""

import gc
import weakref

import numpy as np
import pytest
import torch

from napari_sam.model.configs import ConvEncoderConfig, DecoderConfig, SamConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation import decoding
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(3)
    encoder = ConvEncoderConfig(channels=(16,) * 5, blocks=(1,) * 5, out_channels=32)
    decoder = DecoderConfig(
        num_heads=2, mlp_dim=32, attention_dim=16, iou_head_hidden_dim=16, local_prompts=True
    )
    config = SamConfig(encoder=encoder, decoder=decoder, instances=True, object_diameter=20.0)
    return Predictor(Sam(config))


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).random((120, 150))


def test_shapes(predictor, noise):
    embedding = predictor.embed(noise, object_diameter=20)
    assert embedding.image_shape == (120, 150)
    assert embedding.features.shape == (1, 32, 16, 20)
    answer = predictor.predict(embedding, Prompts(points=[(60, 70)]))
    assert answer.masks.shape == (3, 120, 150)
    assert answer.masks.dtype == bool
    assert answer.predicted_iou.shape == (3,)
    assert answer.low_res_logits.shape == (3, 64, 80)
    single = predictor.predict(embedding, Prompts(points=[(60, 70)]), multimask_output=False)
    assert single.masks.shape == (1, 120, 150)
    assert predictor.instance_maps(embedding).shape == (3, 120, 150)


@pytest.mark.parametrize("diameter", [7, 20, 70])
def test_patches_are_what_resizing_the_whole_gives(predictor, noise, diameter, monkeypatch):
    monkeypatch.setattr(decoding, "WINDOW", 8)
    image = np.tile(noise, (3, 3))
    embedding = predictor.embed(image, object_diameter=diameter)
    for point in [(20, 30), (200, 300), (358, 449)]:
        prompt = Prompts(points=[point])
        answer = predictor.predict(embedding, prompt)
        logits, _ = predictor.decode(embedding, [prompt])
        whole = (predictor.upscale(embedding, logits[0]) > 0).numpy()
        inner = tuple(slice(s.start + 9, s.stop - 9) for s in answer.region)
        assert np.array_equal(answer.masks[(slice(None), *inner)], whole[(slice(None), *inner)])
        assert answer.masks.sum() == answer.areas.sum()
        assert np.array_equal(answer.low_res_logits, logits[0])


def test_answers_keep_the_order_of_mixed_prompts(predictor, noise):
    embedding = predictor.embed(noise, object_diameter=20)
    mask = predictor.predict(embedding, Prompts(points=[(9, 9)])).low_res_logits[0]
    prompts = [
        Prompts(points=[(60, 70)]),
        Prompts(box=(10, 10, 50, 60)),
        Prompts(points=[(20, 30), (90, 9)], point_labels=[1, 0]),
        Prompts(points=[(11, 12)], mask_input=mask),
        Prompts(points=[(100, 120)]),
    ]
    together = predictor.predict(embedding, prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = predictor.predict(embedding, prompt)
        assert np.allclose(answer.low_res_logits, alone.low_res_logits, atol=1e-4)
    assert predictor.predict(embedding, []) == []


def test_an_answer_in_a_notebook_is_a_line(predictor, noise):
    embedding = predictor.embed(noise, object_diameter=20)
    answer = predictor.predict(embedding, Prompts(points=[(60, 70)]), multimask_output=False)
    told = f"{answer.areas[0]} pixels at {answer.predicted_iou[0]:.3f}"
    assert repr(answer) == f"<MaskPrediction of an image of shape (120, 150): {told}>"


@pytest.mark.parametrize("kind", ["points", "box"])
def test_an_answer_does_not_depend_on_what_else_is_asked(predictor, noise, monkeypatch, kind):
    """The window of an object is its own, not that of the largest."""
    monkeypatch.setattr(decoding, "WINDOW", 8)
    embedding = predictor.embed(np.tile(noise, (3, 3)), object_diameter=20)
    small, large = np.array([[20, 30], [40, 60]]), np.array([[5, 5], [250, 350]])
    prompts = [
        Prompts(points=ends) if kind == "points" else Prompts(box=ends.ravel())
        for ends in (small, large, small + 7)
    ]
    together = predictor.predict(embedding, prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = predictor.predict(embedding, prompt)
        assert answer.region == alone.region
        assert np.allclose(answer.low_res_logits, alone.low_res_logits, atol=1e-4)


def test_thousands_of_objects_are_decoded_a_few_at_a_time(predictor, noise, monkeypatch):
    """All at once took 10 GB for a thousand clicks."""
    counts = []
    decode = decoding.decode_in_windows

    def counted(model, image, batch):
        counts.append(batch.n_objects)
        return decode(model, image, batch)

    monkeypatch.setattr(decoding, "decode_in_windows", counted)
    monkeypatch.setattr(decoding, "objects_at_once", lambda *_: 3)
    monkeypatch.setattr(decoding, "_MOST_PROMPTS", 8)
    embedding = predictor.embed(noise, object_diameter=20)
    prompts = [Prompts(points=[(row, 2 * row)]) for row in range(10, 30)]
    answers = predictor.predict(embedding, prompts)
    assert counts == [3, 3, 2, 3, 3, 2, 3, 1]
    for prompt, answer in zip(prompts, answers, strict=True):
        alone = predictor.predict(embedding, prompt)
        assert np.allclose(answer.low_res_logits, alone.low_res_logits, atol=1e-4)


def test_a_window_answers_as_the_whole_does_inside(predictor, noise, monkeypatch):
    """With the window as large as the grid less a margin, only far context is lost."""
    embedding = predictor.embed(noise, object_diameter=20)
    prompts = [Prompts(points=[(60, 70)]), Prompts(points=[(5, 5)])]
    monkeypatch.setattr(decoding, "WINDOW", 12)
    logits, _ = predictor.decode(embedding, prompts)
    assert logits.shape == (2, 3, 64, 80)
    outside = logits[1, 0, 48:, 48:]
    assert (outside == outside[0, 0]).all()
    assert outside[0, 0] < -10
    assert (logits[1, 0, :48, :48] != outside[0, 0]).any()


def test_windows_lie_around_their_prompts(predictor, noise, monkeypatch):
    monkeypatch.setattr(decoding, "WINDOW", 8)
    embedding = predictor.embed(np.tile(noise, (3, 3)), object_diameter=20)
    for point in [(20, 30), (200, 300), (350, 440)]:
        logits, _ = predictor.decode(embedding, [Prompts(points=[point])])
        rows, cols = torch.nonzero(logits[0, 0] > -15.9, as_tuple=True)
        assert rows.min() * 2 <= point[0] <= rows.max() * 2 + 2
        assert cols.min() * 2 <= point[1] <= cols.max() * 2 + 2
        assert rows.max() - rows.min() < 4 * 8


def test_a_huge_image_is_one_embedding(predictor):
    image = np.zeros((8192, 8192), np.uint8)
    image[4000:4100, 4000:4100] = 200
    embedding = predictor.embed(image, object_diameter=100)
    assert max(embedding.geometry.input_shape) <= 4096
    assert predictor.predict(embedding, Prompts(points=[(4050, 4050)])).masks[0].shape == (
        8192,
        8192,
    )


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (3, 200), (40, 40, 3), (40, 40, 4)])
def test_small_and_coloured_images(predictor, shape):
    image = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    embedding = predictor.embed(image)
    assert predictor.predict(embedding, Prompts(points=[(0, 0)])).masks.shape == (3, *shape[:2])


@pytest.mark.filterwarnings("ignore:The image has")
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_images_without_content(predictor, value):
    embedding = predictor.embed(np.full((40, 50), value))
    answer = predictor.predict(embedding, Prompts(points=[(20, 20)]))
    assert np.isfinite(answer.predicted_iou).all()


def test_an_embedding_does_not_depend_on_contrast(predictor, noise):
    one = predictor.embed(noise, object_diameter=20)
    other = predictor.embed((noise * 60_000 + 99).astype(np.uint16), object_diameter=20)
    assert torch.allclose(one.features, other.features, atol=0.05)


def test_bad_prompts_and_images_are_refused(predictor, noise):
    embedding = predictor.embed(noise, object_diameter=20)
    with pytest.raises(ValueError, match="needs at least a point"):
        predictor.predict(embedding, Prompts())
    with pytest.raises(ValueError, match=r"Point \(500, 1\) lies outside"):
        predictor.predict(embedding, Prompts(points=[(500, 1)]))
    with pytest.raises(ValueError, match=r"shape \(64, 80\)"):
        predictor.predict(embedding, Prompts(points=[(5, 1)], mask_input=np.zeros((4, 4))))
    with pytest.raises(ValueError, match="object_diameter must be positive"):
        predictor.embed(noise, object_diameter=0)


def test_a_box_is_to_be_filled(predictor, noise):
    """Ratings are the predicted IoU times the IoU of the mask's bounds with the box."""
    embedding = predictor.embed(noise, object_diameter=20)
    box = (30, 40, 79, 99)
    answer = predictor.predict(embedding, Prompts(box=box))
    for mask, fit in zip(answer.masks, answer.box_fit, strict=True):
        rows, cols = np.nonzero(mask)
        bounds, asked = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
        asked[30:80, 40:100] = True
        if len(rows):
            bounds[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1] = True
        assert fit == pytest.approx((bounds & asked).sum() / (bounds | asked).sum(), abs=1e-6)
    assert np.allclose(answer.ratings, answer.predicted_iou * answer.box_fit)
    assert answer.best == answer.ratings.argmax()
    assert predictor.predict(embedding, Prompts(points=[(60, 70)])).box_fit is None
    beyond = predictor.predict(embedding, Prompts(box=(-50, -50, 200, 200)))
    whole = predictor.predict(embedding, Prompts(box=(0, 0, 119, 149)))
    assert beyond.box_fit.shape == whole.box_fit.shape == (3,)


@pytest.mark.parametrize("diameter", [0, -1, np.inf, np.nan])
def test_diameters_that_cannot_be_are_refused(predictor, diameter):
    with pytest.raises(ValueError, match="object_diameter must be positive"):
        predictor.embed(np.zeros((20, 30)), object_diameter=diameter)
    with pytest.raises(ValueError, match="object_diameter must be positive"):
        predictor.field_of_view(diameter)


def test_an_embedding_stays_as_it_is_when_its_image_changes(predictor):
    frame = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    embedding = predictor.embed(frame, object_diameter=20)
    first = frame.copy()
    frame[:] = 0
    assert np.array_equal(embedding.picture.image, first)
    with pytest.raises(ValueError, match="read-only"):
        embedding.picture.image[0] = 1


def test_the_latest_looks_keep_no_image(predictor):
    embedding = predictor.embed(np.zeros((64, 64)), object_diameter=8)
    predictor.predict(embedding, Prompts(points=[(30, 30)]), closer_look=True)
    picture = weakref.ref(embedding.picture)
    del embedding
    gc.collect()
    assert picture() is None


def test_what_is_no_embedding_or_no_prompts_is_refused(predictor, noise):
    embedding = predictor.embed(noise)
    for answer in (predictor.predict, predictor.decode):
        with pytest.raises(TypeError, match=r"must be an ImageEmbedding, .* got ndarray"):
            answer(noise, [Prompts(points=[(8, 8)])])
        with pytest.raises(TypeError, match=r"must be Prompts, .* got \[\(8, 8\)\]"):
            answer(embedding, [(8, 8)])
