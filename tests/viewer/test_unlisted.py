"""Objects that a layer shows and the table does not list: found, described, edited, undone."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.segmentation.progress import run
from napari_sam.viewer import unlisted
from napari_sam.viewer.exchange import get_reader, save_geojson
from napari_sam.viewer.journal import Journal
from napari_sam.viewer.session import Session
from napari_sam.viewer.unlisted import iter_unlisted
from tests.oracle import OraclePredictor


def drawn(shape=(40, 50)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    labels[..., 5:15, 5:15] = 3
    labels[..., 20:35, 20:45] = 70_000
    labels[..., 36, 2] = labels[..., 38, 9] = 8  # in two pieces
    return labels


def session_on(labels, **options) -> Session:
    viewer = ViewerModel()
    image = viewer.add_image((labels > 0).astype(float))
    layer = viewer.add_labels(labels, **options)
    return Session(viewer, OraclePredictor(), image, layer)


def found_in(data, listed=()):
    entries = run(iter_unlisted(data, listed))
    return {entry.label_id: (entry.bounds, entry.area) for entry in entries}


PLAIN = {
    3: (((5, 15), (5, 15)), 100),
    8: (((36, 39), (2, 10)), 2),
    70_000: (((20, 35), (20, 45)), 375),
}


def test_each_object_has_its_bounds_and_pixels():
    assert found_in(drawn()) == PLAIN
    assert found_in(drawn(), listed=[8]) == {3: PLAIN[3], 70_000: PLAIN[70_000]}
    assert found_in(np.zeros((4, 5), np.uint8)) == {}
    assert found_in(np.full((4, 5), 2**40)) == {2**40: (((0, 4), (0, 5)), 20)}


def test_what_is_read_in_parts_is_joined(monkeypatch):
    monkeypatch.setattr(unlisted, "_BAND", 50 * 7)
    assert found_in(drawn()) == PLAIN
    stack = drawn((2, 6, 40, 50))
    stack[0], stack[1, :2], stack[1, 4:] = 0, 0, 0
    expected = {
        label: (((1, 2), (2, 4), *bounds), area * 2) for label, (bounds, area) in PLAIN.items()
    }
    assert found_in(stack) == expected


def test_progress_is_told_and_a_job_can_be_left(monkeypatch):
    monkeypatch.setattr(unlisted, "_BAND", 50 * 10)
    job = iter_unlisted(drawn(), ())
    assert [(event.done, event.total) for event in job] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    job = iter_unlisted(drawn(), ())
    next(job)
    job.close()


def test_labels_on_disk_are_read_there(tmp_path):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(3, 40, 50), dtype="u4")
    stored[1] = drawn()
    assert found_in(stored)[8] == (((1, 2), (36, 39), (2, 10)), 2)


def test_objects_of_a_file_keep_class_score_and_colour(tmp_path):
    path = str(tmp_path / "objects.geojson")
    features = {"index": [3, 70_000], "class": ["cell", ""], "predicted_iou": [0.75, np.nan]}
    metadata = {"class_colors": {"cell": (255, 0, 16)}}
    save_geojson(path, drawn(), {"features": features, "metadata": metadata, "name": "objects"})
    [(labels, meta, _)] = get_reader(path)(path)
    session = session_on(labels, features=meta["features"], metadata=meta["metadata"])
    assert session.objects.take_up() == 3
    by_class = {entry.category: entry for entry in session.objects.table}
    assert by_class["cell"].predicted_iou == 0.75
    assert by_class["cell"].origin == "layer"
    assert session.objects.table.categories["cell"] == "#ff0010"
    kept = session.labels.features
    assert kept.loc[kept["class"] == "cell", "predicted_iou"].tolist() == [0.75]


def test_taken_up_objects_are_merged_classed_deleted_and_all_is_undone():
    session = session_on(drawn())
    assert session.objects.take_up() == 3
    assert session.objects.take_up() == 0  # all are listed
    session.objects.merge([3, 8])
    session.objects.set_category([70_000], "big")
    session.objects.delete([70_000])
    assert np.unique(session.labels.data).tolist() == [0, 3]
    assert [session.undo() for _ in range(4)] == ["delete", "class", "merge", "take up"]
    assert np.array_equal(session.labels.data, drawn())
    assert len(session.objects.table) == 0
    assert session.redo() == "take up"
    assert sorted(session.objects.table.entries) == [3, 8, 70_000]


def test_what_is_listed_keeps_what_is_known_of_it():
    session = session_on(drawn())
    session.add_point((8, 8))
    session.predict()
    label = session.commit(overlap="overwrite", category="mine")
    assert session.objects.take_up() == 2
    assert session.objects.table[label].category == "mine"
    assert session.objects.table[label].origin == "prompts"


def test_the_journal_tells_of_them(tmp_path):
    session = session_on(drawn())
    session.objects.attach(Journal(tmp_path / "j.jsonl", {"labels": "drawn"}))
    session.objects.take_up()
    session.objects.merge([3, 8])
    session.objects.close()
    again = session_on(drawn())
    again.objects.attach(Journal(tmp_path / "j.jsonl", {"labels": "drawn"}))
    assert sorted(again.objects.table.entries) == [3, 70_000]
    again.objects.close()


def test_without_a_layer_there_is_nothing_to_take_up():
    viewer = ViewerModel()
    session = Session(viewer, OraclePredictor(), viewer.add_image(np.zeros((40, 50))))
    assert session.objects.take_up() == 0
