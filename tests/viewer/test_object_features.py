"""The features of a Labels layer follow the table of objects."""

import json

import numpy as np
from napari.components import ViewerModel

from napari_sam.viewer.exchange import save_coco, save_geojson
from napari_sam.viewer.session import Session
from tests.oracle import OraclePredictor
from tests.viewer.test_objects import commit, drawn, session_on


def test_exports_have_classes_and_scores(tmp_path):
    session = session_on()
    commit(session, (8, 8), category="cell")
    commit(session, (30, 30))
    data, meta, _ = session.labels.as_layer_data_tuple()
    save_coco(str(tmp_path / "a.json"), data, meta)
    coco = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    names = {one["id"]: one["name"] for one in coco["categories"]}
    assert [names[one["category_id"]] for one in coco["annotations"]] == ["cell", "object"]
    assert all(0 < one["score"] <= 1 for one in coco["annotations"])
    save_geojson(str(tmp_path / "a.geojson"), data, meta)
    qupath = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))
    classes = [one["properties"].get("classification") for one in qupath["features"]]
    assert classes[0] == {"name": "cell", "color": [230, 25, 75]}


def test_columns_and_rows_of_others_stay():
    viewer = ViewerModel()
    layer = viewer.add_image(drawn())
    labels = np.zeros((40, 50), np.uint16)
    labels[0, :2] = 9
    features = {"index": [9, np.nan], "note": ["mine", "none"]}
    labels = viewer.add_labels(labels, features=features)
    session = Session(viewer, OraclePredictor(), layer, labels)
    label = commit(session, (8, 8), category="cell")
    assert label == 10
    assert labels.features["index"].tolist() == [9, 10]
    assert labels.features["note"].tolist()[0] == "mine"
    assert labels.features["class"].tolist() == ["", "cell"]
    session.objects.delete([10])
    assert labels.features["index"].tolist() == [9]
    session.undo()
    assert labels.features["class"].tolist() == ["", "cell"]
    session.objects.set_category([10], "debris")
    assert labels.features["class"].tolist() == ["", "debris"]


def test_nothing_is_told_where_nothing_changed():
    session = session_on()
    commit(session, (8, 8))
    told = []
    session.labels.events.features.connect(told.append)
    session.add_point((30, 30))
    session.undo()
    assert told == []


def test_rows_whose_index_is_text_stay():
    viewer = ViewerModel()
    layer = viewer.add_image(drawn())
    features = {"index": ["first", "second"], "note": ["a", "b"]}
    labels = viewer.add_labels(np.zeros((40, 50), np.uint16), features=features)
    session = Session(viewer, OraclePredictor(), layer, labels)
    commit(session, (8, 8), category="cell")
    assert labels.features["index"].tolist() == [1, "first", "second"]
    assert labels.features["class"].tolist() == ["cell", "", ""]
    session.objects.delete([1])
    assert labels.features["note"].tolist() == ["a", "b"]
