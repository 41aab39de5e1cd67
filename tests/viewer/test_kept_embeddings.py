"""A session whose predictor keeps embeddings starts at once where it, or a job, has been before."""

import numpy as np
import torch
from napari.components import ViewerModel

from napari_sam.model.sam import Sam
from napari_sam.segmentation import closer_look
from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.segmentation.predictor import Predictor
from napari_sam.viewer.session import Session
from napari_sam.volume import VolumeConfig, segment_volume
from napari_sam.volume.kept_embeddings import EmbeddingStore, KeepingPredictor
from tests.volume.test_kept_embeddings import TINY, spots


def click(predictor, plane):
    """Click into a slice of the volume; return the masks' logits."""
    viewer = ViewerModel()
    session = Session(viewer, predictor, viewer.add_image(spots()))
    viewer.dims.set_point(0, plane)
    session.add_point((30, 40))
    logits = session.predict().low_res_logits
    session.close()
    return logits


def test_a_session_finds_what_was_embedded(tmp_path, monkeypatch):
    torch.manual_seed(3)
    monkeypatch.setattr(closer_look, "_SURE", -9)  # what is in doubt would be looked at again
    predictor = Predictor(Sam(TINY))
    store = EmbeddingStore(tmp_path / "kept")
    config = VolumeConfig(
        everything=EverythingConfig(object_diameter=20), contrast_limits=(0.0, 250.0)
    )
    segment_volume(KeepingPredictor(predictor, store), spots(), tmp_path / "out.zarr", config)
    own = KeepingPredictor(predictor, store)
    before = click(own, 1)  # its contrast is the slice's own
    assert len(store) == 3 * config.everything.looks + 1
    monkeypatch.setattr(Sam, "encode", None)  # no image is encoded from here on
    np.testing.assert_array_equal(click(own, 1), before)
    jobs = KeepingPredictor(predictor, store, contrast_limits=(0, 250), object_diameter=20)
    assert click(jobs, 2).shape == before.shape
