"""Click, preview, commit, undo on a viewer without Qt, with an oracle for a model."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_sam.viewer.preview import PREVIEW_NAME
from napari_sam.viewer.requests import compute
from napari_sam.viewer.session import Session
from tests.oracle import OraclePredictor

SQUARE = np.s_[5:15, 5:15]
BAR = np.s_[20:35, 20:45]


def drawn() -> np.ndarray:
    image = np.zeros((40, 50))
    image[SQUARE] = image[BAR] = 1
    return image


def session_on(data=None, **placement) -> Session:
    viewer = ViewerModel()
    layer = viewer.add_image(drawn() if data is None else data, **placement)
    return Session(viewer, OraclePredictor(), layer)


def preview(session):
    return session.viewer.layers[PREVIEW_NAME]


def test_click_preview_commit_undo():
    session = session_on()
    session.add_point((8, 8))
    prediction = session.predict()
    assert prediction.masks[session.candidate].sum() == 100
    assert np.array_equal(np.asarray(preview(session).data) > 0, _only(SQUARE))
    assert session.commit() == 1
    assert (session.labels.data[SQUARE] == 1).all()
    assert session.labels.data.sum() == 100
    assert session.labels.data.dtype == np.uint16
    assert not preview(session).data.any()
    session.undo()
    assert not session.labels.data.any()
    assert preview(session).data.sum() == 100  # the prompts are back
    session.redo()
    assert session.labels.data.sum() == 100
    session.labels.undo()  # napari's own
    assert not session.labels.data.any()


def _only(part):
    mask = np.zeros((40, 50), bool)
    mask[part] = True
    return mask


def test_a_negative_point_takes_its_object_out():
    session = session_on()
    session.add_point((8, 8))
    session.add_point((30, 30))
    assert session.predict().masks[0].sum() == 100 + 15 * 25
    session.add_point((31, 31), foreground=False)
    assert session.predict().masks[0].sum() == 100


def test_candidates_and_boxes():
    session = session_on()
    session.add_box((18, 18, 36, 46))
    session.predict()
    session.choose(1)  # eroded by a pixel
    assert session.commit() == 1
    assert (session.labels.data == 1).sum() == 13 * 23
    with pytest.raises(ValueError, match="no candidate 2"):
        session.choose(2)


def test_the_next_object_gets_the_next_label():
    session = session_on()
    for number, point in enumerate([(8, 8), (30, 30)], start=1):
        session.add_point(point)
        session.predict()
        assert session.commit() == number
    session.labels.data[0, 0] = 40
    session.add_point((8, 8))
    session.predict()
    with pytest.raises(ValueError, match="Other objects cover"):
        session.commit()
    assert session.commit(overlap="overwrite") == 41


def test_other_objects_are_kept_unless_overwritten():
    session = session_on()
    session.labels = session.viewer.add_labels(np.zeros((40, 50), np.uint16))
    session.labels.data[5:15, 5:10] = 7
    session.add_point((8, 8))
    session.predict()
    assert session.commit() == 8
    assert (session.labels.data == 7).sum() == 50
    assert (session.labels.data == 8).sum() == 50
    session.add_point((8, 8))
    session.predict()
    session.commit(8, overlap="overwrite")
    assert (session.labels.data == 8).sum() == 100


def test_undo_takes_prompts_back_first():
    session = session_on()
    session.add_point((8, 8))
    session.add_point((30, 30))
    session.predict()
    session.undo()
    assert session.prediction.masks[0].sum() == 100
    session.undo()
    assert session.prediction is None
    assert not preview(session).data.any()


def test_a_late_answer_is_dropped():
    session = session_on()
    session.add_point((8, 8))
    early = session.snapshot()
    session.add_point((30, 30))
    late = session.snapshot()
    assert not session.apply(compute(early))
    assert session.prediction is None
    assert session.apply(compute(late))


def test_logits_are_fed_back_while_prompts_grow():
    session = session_on()
    session.add_point((8, 8))
    session.predict()
    session.add_point((30, 30))
    assert session.snapshot().prompts.mask_input is not None
    session.clear()
    session.add_point((8, 8))
    assert session.snapshot().prompts.mask_input is None


def test_a_plane_is_embedded_once():
    session = session_on()
    for point in [(8, 8), (30, 30)]:
        session.add_point(point)
        session.predict()
    assert session.predictor.n_embed == 1
    session.image.data = drawn()[::-1]
    session.add_point((30, 8))
    assert session.predict().masks[0].sum() == 100
    assert session.predictor.n_embed == 2


def test_a_stack_with_scale_translation_and_rotation():
    stack = np.zeros((5, 40, 50))
    stack[2] = drawn()
    session = session_on(
        stack,
        scale=(3, 2, 2),
        translate=(10, 5, 7),
        rotate=np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]),
    )
    session.viewer.dims.set_point(0, 10 + 3 * 2)
    session.add_point((8, 8))
    session.predict()
    layer = preview(session)
    assert layer.data.shape == (1, 40, 50)
    inside = layer.data_to_world((0, 8, 9))
    assert np.allclose(inside, session.image.data_to_world((2, 8, 9)))
    session.commit()
    assert session.labels.data[2].sum() == session.labels.data.sum() == 100
    assert np.allclose(
        session.labels.data_to_world((2, 5, 6)), session.image.data_to_world((2, 5, 6))
    )


def test_any_displayed_axes():
    stack = np.zeros((40, 6, 50))
    stack[:, 3, :] = drawn()
    session = session_on(stack)
    session.viewer.dims.order = (1, 0, 2)
    session.viewer.dims.set_point(1, 3)
    session.add_point((8, 8))
    session.predict()
    session.commit()
    assert session.labels.data[:, 3, :].sum() == session.labels.data.sum() == 100


@pytest.mark.parametrize("kind", ["dask", "zarr", "rgb", "pyramid", "time"])
def test_kinds_of_images(kind, tmp_path):
    image = drawn()
    options = {}
    if kind == "dask":
        image = da.from_array(image, chunks=20)
    elif kind == "zarr":
        image = zarr.array(image, store=str(tmp_path / "i.zarr"), chunks=(20, 20))
    elif kind == "rgb":
        image = np.repeat(image[..., None], 3, axis=2)
    elif kind == "pyramid":
        image, options = [image, image[::2, ::2]], {"multiscale": True}
    elif kind == "time":
        image = np.stack([np.zeros((3, 40, 50)), np.stack([drawn()] * 3)])
    session = session_on(image, **options)
    if kind == "time":
        session.viewer.dims.set_point((0, 1), (1, 2))
    session.add_point((8, 8))
    session.predict()
    session.commit()
    assert session.labels.data.shape[-2:] == (40, 50)
    assert session.labels.data.sum() == 100
    if kind == "time":
        assert session.labels.data[1, 2].sum() == 100


def test_labels_on_disk(tmp_path):
    session = session_on()
    array = zarr.create_array(
        str(tmp_path / "l.zarr"), shape=(40, 50), chunks=(20, 20), dtype=np.int32
    )
    array[0, 0] = 12
    session.labels = session.viewer.add_labels(array)
    session.add_point((8, 8))
    session.predict()
    assert session.commit() == 13
    assert (zarr.open_array(tmp_path / "l.zarr")[SQUARE] == 13).all()


def test_labels_of_another_resolution():
    session = session_on(scale=(2, 2))
    fine = session.viewer.add_labels(
        np.zeros((80, 100), np.uint8), scale=(1, 1), translate=(-0.5, -0.5)
    )
    session.labels = fine
    session.add_point((8, 8))
    session.predict()
    session.commit()
    assert (fine.data[10:30, 10:30] == 1).all()
    assert fine.data.sum() == 400


def test_layers_that_cannot_be_written_are_refused():
    session = session_on()
    labels = np.zeros((40, 50), np.uint8)
    lazy = session.viewer.add_labels(da.from_array(labels))
    with pytest.raises(ValueError, match="dask array and cannot be written"):
        session.labels = lazy
    pyramid = session.viewer.add_labels([labels, labels[::2, ::2]], multiscale=True)
    with pytest.raises(ValueError, match="pyramid"):
        session.labels = pyramid


@pytest.mark.parametrize("kind", ["numpy", "zarr"])
def test_labels_that_are_read_only_are_refused_before_a_click_is_lost(kind, tmp_path):
    session = session_on()
    zarr.save_array(tmp_path / "labels.zarr", np.zeros((40, 50), np.uint8))
    labels = zarr.open_array(tmp_path / "labels.zarr", mode="r")
    if kind == "numpy":
        labels = labels[:]
        labels.flags.writeable = False
    layer = session.viewer.add_labels(labels)
    with pytest.raises(ValueError, match="is read-only and cannot be written; copy it"):
        session.labels = layer


def test_labels_that_do_not_fit_are_refused():
    session = session_on()
    session.labels = session.viewer.add_labels(np.zeros((40, 50), np.uint8))
    session.add_point((8, 8))
    session.predict()
    with pytest.raises(ValueError, match="Label 256 does not fit"):
        session.commit(256)
    assert session.commit(255) == 255


def test_our_own_layer_widens_beyond_uint16():
    session = session_on()
    session.add_point((8, 8))
    session.predict()
    assert session.commit(70_000) == 70_000
    assert session.labels.data.max() == 70_000


def test_what_cannot_be_done_is_said():
    session = session_on()
    with pytest.raises(ValueError, match="no mask to commit"):
        session.commit()
    session.add_point((100, 8))
    with pytest.raises(ValueError, match=r"Point \(100, 8\) lies outside"):
        session.predict()
    session.clear()
    session.viewer.dims.ndisplay = 3
    with pytest.raises(ValueError, match="2D"):
        session.add_point((8, 8))


def test_a_mask_of_another_slice_is_not_committed():
    session = session_on(np.stack([drawn(), drawn()]))
    session.viewer.dims.set_point(0, 0)
    session.add_point((8, 8))
    session.predict()
    session.viewer.dims.set_point(0, 1)
    with pytest.raises(ValueError, match="another slice"):
        session.commit()


def test_two_sessions_do_not_touch_each_other():
    one, two = session_on(), session_on()
    one.add_point((8, 8))
    one.predict()
    one.commit()
    assert two.prediction is None
    assert [layer.name for layer in two.viewer.layers] == ["Image"]


def test_closing_takes_the_preview_away():
    session = session_on()
    session.add_point((8, 8))
    session.predict()
    session.close()
    assert PREVIEW_NAME not in [layer.name for layer in session.viewer.layers]


class NotingPredictor(OraclePredictor):
    """Notes whether it was asked to look closer."""

    def __init__(self):
        super().__init__()
        self.looks = []

    def predict(self, embedding, prompts, *, multimask_output=True, closer_look=False):
        self.looks.append(closer_look)
        return super().predict(embedding, prompts, multimask_output=multimask_output)


def test_clicks_are_looked_at_closely_and_what_is_passed_is_not():
    """A closer look embeds; what hovers is answered at once."""
    viewer, predictor = ViewerModel(), NotingPredictor()
    session = Session(viewer, predictor, viewer.add_image(drawn()))
    session.hover_request((10, 10)).answer()
    session.add_point((10, 10))
    session.predict()
    assert predictor.looks == [False, True]


@pytest.mark.parametrize("wrong", [None, np.zeros((4, 4)), "image"])
def test_what_is_no_layer_is_refused(wrong):
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((4, 4)))
    with pytest.raises(TypeError, match=r"Expected a layer of type Image, .* got"):
        Session(viewer, OraclePredictor(), wrong)
    with pytest.raises(TypeError, match=r"Expected a layer of type Labels, .* got Image"):
        Session(viewer, OraclePredictor(), layer, layer)
