"""A predictor that keeps its embeddings: the same answers, sooner."""

import pickle

import numpy as np
import pytest
import torch

from napari_sam.model.configs import ConvEncoderConfig, DecoderConfig, SamConfig, ViTConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation.everything import EverythingConfig, segment_everything
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.volume import VolumeConfig, segment_volume
from napari_sam.volume.kept_embeddings import (
    EmbeddingStore,
    KeepingPredictor,
    embedding_bytes,
    embedding_key,
)
from tests.volume.toys import tree

TINY = SamConfig(
    encoder=ConvEncoderConfig(channels=(16,) * 5, blocks=(1,) * 5, out_channels=32),
    decoder=DecoderConfig(
        num_heads=2, mlp_dim=32, attention_dim=16, iou_head_hidden_dim=16, local_prompts=True
    ),
    instances=True,
    object_diameter=20.0,
)
FIXED = SamConfig(
    encoder=ViTConfig(
        image_size=64, embed_dim=16, depth=1, num_heads=2, mlp_dim=16, global_attn_indexes=(0,)
    )
)


class CountingPredictor(Predictor):
    """Counts what the network embeds at the caller's wish."""

    n_embed = 0

    def embed(self, image, **options):
        self.n_embed += 1
        return super().embed(image, **options)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(3)
    return {"conv": Sam(TINY), "vit": Sam(FIXED)}


@pytest.fixture(params=["conv", "vit"])
def predictor(request, networks):
    return CountingPredictor(networks[request.param])


@pytest.fixture
def conv(networks):
    return CountingPredictor(networks["conv"])


@pytest.fixture
def noise():
    return np.random.default_rng(0).random((120, 150))


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "kept")


def assert_same(one, other):
    """Two embeddings are equal, tensor by tensor and in memory's layout."""
    assert one.geometry == other.geometry
    assert (one.object_diameter, one.model_name) == (other.object_diameter, other.model_name)
    flat = [
        [one.features, *one.image.skips, one.tokens.features, *one.tokens.skips]
        for one in (one, other)
    ]
    for found, expected in zip(*flat, strict=True):
        assert torch.equal(found, expected)
        assert found.stride() == expected.stride()


def test_an_answer_is_the_same_whether_it_was_kept_or_not(predictor, noise, store):
    keeping = KeepingPredictor(predictor, store)
    made, kept = keeping.embed(noise), keeping.embed(noise)
    assert (predictor.n_embed, len(store)) == (1, 1)
    assert_same(made, kept)
    plain = predictor.embed(noise)
    assert plain.geometry == made.geometry
    assert plain.object_diameter == made.object_diameter
    assert torch.equal(plain.features.half().float(), made.features)
    for level, expected in zip(made.image.skips, plain.image.skips, strict=True):
        assert torch.equal(level, expected.half().float())
    prompt = Prompts(points=[(60, 70)])
    answers = [keeping.predict(one, prompt) for one in (made, kept)]
    np.testing.assert_array_equal(answers[0].low_res_logits, answers[1].low_res_logits)
    near = predictor.predict(plain, prompt)
    assert np.abs(near.low_res_logits - answers[0].low_res_logits).max() < 0.2


def test_everything_else_is_the_predictors(conv, noise, store):
    keeping = KeepingPredictor(conv, store)
    for name in ("model", "model_name", "model_digest", "device", "has_instance_decoder"):
        assert getattr(keeping, name) == getattr(conv, name)
    embedding = keeping.embed(noise, object_diameter=20)
    assert keeping.instance_maps(embedding).shape == (3, 120, 150)
    assert keeping.kind_map(embedding).shape[0] == 32
    assert keeping.field_of_view(10) == conv.field_of_view(10)
    assert keeping.estimate_diameter(noise) == conv.estimate_diameter(noise)
    assert "kept" in repr(keeping)
    with pytest.raises(AttributeError, match="no attribute '_dtype'"):
        keeping._dtype  # noqa: B018


def test_what_an_image_is_told_apart_by(conv, noise, store):
    keeping = KeepingPredictor(conv, store)
    gray = (noise * 200).astype(np.uint16)
    keeping.embed(gray, object_diameter=20)
    for same in (gray.astype(">u2"), np.asfortranarray(gray), np.repeat(gray, 2, 1)[:, ::2]):
        assert keeping.is_kept(same, object_diameter=20)
    limits = tuple(np.percentile(gray, (0.1, 99.9)))
    assert keeping.is_kept(gray, contrast_limits=limits, object_diameter=20.0)
    assert not keeping.is_kept(gray)
    assert not keeping.is_kept(gray, object_diameter=21)
    assert not keeping.is_kept(gray, contrast_limits=(0, 100), object_diameter=20)
    assert not keeping.is_kept(gray.T, object_diameter=20)
    assert not keeping.is_kept(gray.astype(np.int16), object_diameter=20)
    colour = np.dstack([gray.astype(np.uint8)] * 4)
    keeping.embed(colour, object_diameter=20)
    assert keeping.is_kept(colour[..., :3], object_diameter=20)
    keys = {embedding_key(gray, None, 20, digest) for digest in ("one", "another")}
    assert len(keys) == 2


def test_a_fixed_input_does_not_care_for_the_diameter(networks, noise, store):
    keeping = KeepingPredictor(Predictor(networks["vit"]), store)
    keeping.embed(noise, object_diameter=20)
    assert keeping.is_kept(noise)
    assert keeping.is_kept(noise, object_diameter=30)
    told = KeepingPredictor(Predictor(networks["vit"]), store, object_diameter=9)
    assert told.estimate_diameter(noise) is None


def test_wrong_images_are_refused_as_ever(conv, store, noise):
    keeping = KeepingPredictor(conv, store)
    with pytest.raises(ValueError, match="must have shape"):
        keeping.embed(np.zeros((2, 3, 4, 5)))
    with pytest.raises(ValueError, match="must be positive"):
        keeping.embed(noise, object_diameter=-1)
    assert len(store) == 0


@pytest.mark.parametrize("shape", [(120, 150), (300, 40), (33, 257)])
@pytest.mark.parametrize("diameter", [7, 20, 90])
def test_the_size_is_told_beforehand(predictor, store, shape, diameter, monkeypatch):
    image = np.random.default_rng(0).random(shape)
    told = embedding_bytes(predictor, shape, diameter)
    embedding = predictor.embed(image, object_diameter=diameter)
    actual = sum(level.numel() * 2 for level in (embedding.features, *embedding.image.skips))
    assert actual <= told <= 1.1 * actual
    KeepingPredictor(predictor, store).embed(image, object_diameter=diameter)
    assert store.size < told + 8192
    monkeypatch.setattr(Sam, "encode", None)  # no network is run
    assert embedding_bytes(predictor, shape, diameter) == told
    assert embedding_bytes(predictor, shape) > 0


def test_it_can_be_pickled(conv, noise, store):
    keeping = KeepingPredictor(conv, store, contrast_limits=(0, 1), object_diameter=20)
    made = keeping.embed(noise)
    copy = pickle.loads(pickle.dumps(keeping))
    copy._predictor.n_embed = 0
    assert_same(copy.embed(noise), made)
    assert copy._predictor.n_embed == 0
    assert copy.model_digest == keeping.model_digest


def spots():
    """Return 3 slices of 96 x 128 with bright squares."""
    volume = np.random.default_rng(1).integers(0, 20, (3, 96, 128)).astype(np.uint16)
    volume[:, 20:40, 30:50] = volume[:, 60:80, 80:110] = 200
    return volume


def test_a_volume_job_is_the_same_and_starts_at_once_with_other_settings(conv, store, tmp_path):
    everything = EverythingConfig(object_diameter=20, debris_thresh=0)
    config = VolumeConfig(everything=everything)
    keeping = KeepingPredictor(conv, store)
    segment_volume(keeping, spots(), tmp_path / "first.zarr", config)
    looks = 3 * everything.looks
    assert (conv.n_embed, len(store)) == (looks, looks)
    segment_volume(keeping, spots(), tmp_path / "second.zarr", config)
    other = EverythingConfig(object_diameter=20, debris_thresh=0, foreground_thresh=0.6)
    report = segment_volume(
        keeping, spots(), tmp_path / "other.zarr", VolumeConfig(everything=other)
    )
    assert (conv.n_embed, report.shape) == (looks, (3, 96, 128))
    assert tree(tmp_path / "first.zarr") == tree(tmp_path / "second.zarr")


def test_what_a_job_embedded_serves_pictures_of_its_slices(conv, store, tmp_path):
    """A picture's contrast is its own unless the job's is given."""
    config = VolumeConfig(
        everything=EverythingConfig(object_diameter=20), contrast_limits=(0.0, 250.0)
    )
    segment_volume(KeepingPredictor(conv, store), spots(), tmp_path / "out.zarr", config)
    told = KeepingPredictor(conv, store, contrast_limits=(0, 250), object_diameter=20)
    assert [told.is_kept(plane) for plane in spots()] == [True] * 3
    assert not KeepingPredictor(conv, store).is_kept(spots()[0])
    embedded = conv.n_embed
    labels = segment_everything(told, spots()[0], contrast_limits=(0, 250))
    assert labels.shape == (96, 128)
    assert conv.n_embed == embedded
