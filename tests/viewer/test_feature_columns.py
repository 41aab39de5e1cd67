"""Features of every kind come back, whatever they are called."""

import json

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels

from napari_sam.segmentation.annotations import Annotation
from napari_sam.segmentation.object_table import read_table
from napari_sam.viewer.exchange import get_reader, save_coco, save_csv, save_geojson
from napari_sam.viewer.feature_columns import features_of

COLUMNS = {
    "score": [77.0, 55.0],
    "id": ["A7", "B9"],
    "image_id": [3, 4],
    "category_id": [9, 8],
    "label_id": [10, 11],
    "bbox": ["x", "y"],
    "area": [16.5, 40.5],
    "segmentation": ["watershed", "by hand"],
    "properties": ["old", "new"],
    "is_crowd": [1, 0],
    "color": ["red", "blue"],
    "checked": [True, False],
    "note": ["nan", ""],
    "plate": ["007", "1_2"],
}


def layer_of(columns) -> Labels:
    labels = np.repeat(np.arange(3, dtype=np.uint16), 4).reshape(3, 4)
    return Labels(labels, features=pd.DataFrame({"index": [1, 2], **columns}))


def saved(write, path, layer):
    write(str(path), *layer.as_layer_data_tuple()[:2])
    return path


def reopened(write, path, columns) -> dict:
    saved(write, path, layer_of(columns))
    [(_, meta, _)] = get_reader(str(path))(str(path))
    return meta["features"]


@pytest.mark.parametrize(("write", "name"), [(save_coco, "a.json"), (save_geojson, "a.geojson")])
def test_features_come_back(tmp_path, write, name, caplog):
    features = reopened(write, tmp_path / name, {"class": ["nan", "b"], **COLUMNS})
    assert features.pop("class") == ["nan", "b"]
    assert np.isnan(features.pop("predicted_iou")).all()
    assert features.pop("index") == [1, 2]
    assert features == COLUMNS
    assert not caplog.messages


@pytest.mark.parametrize(("write", "name"), [(save_coco, "a.json"), (save_geojson, "a.geojson")])
def test_dates_become_text(tmp_path, write, name):
    columns = {
        "when": pd.to_datetime(["2024-01-01", "2024-02-01"]),
        "lasts": pd.to_timedelta([1, 2], unit="s"),
        "kind": pd.Categorical(["u", "v"]),
        "range": pd.arrays.IntervalArray.from_breaks([0, 1, 2]),
        "n": pd.array([3, None], dtype="Int64"),
    }
    features = reopened(write, tmp_path / name, columns)
    assert features["when"] == ["2024-01-01T00:00:00", "2024-02-01T00:00:00"]
    assert features["lasts"] == ["0 days 00:00:01", "0 days 00:00:02"]
    assert features["kind"] == ["u", "v"]
    assert features["range"] == ["(0, 1]", "(1, 2]"]
    assert features["n"] == [3, None]


def test_scores_that_are_no_numbers_are_features(tmp_path, caplog):
    features = reopened(save_coco, tmp_path / "a.json", {"predicted_iou": ["high", "low"]})
    assert features["feature_predicted_iou"] == ["high", "low"]
    assert caplog.messages == [
        "the name 'predicted_iou' is taken; the feature is called 'feature_predicted_iou'"
    ]


def test_features_that_are_called_like_measurements(tmp_path, caplog):
    columns = {
        "area": [1, 2],
        "feature_area": [3, 4],
        "label_id": ["a", "b"],
        "flag": [True, False],
    }
    path = saved(save_csv, tmp_path / "a.csv", layer_of(columns))
    table = read_table(path)
    assert table.columns["area"].tolist() == [4, 4]
    assert table.units["area"] == "pixel^2"
    assert table.columns["feature_feature_area"].tolist() == [1, 2]
    assert table.columns["feature_area"].tolist() == [3, 4]
    assert table.columns["feature_label_id"].tolist() == ["a", "b"]
    assert table.columns["flag"].tolist() == [True, False]
    assert len(caplog.messages) == 2


def test_what_is_no_column_is_named(caplog):
    one = Annotation(
        label_id=1,
        mask=np.ones((1, 1), bool),
        corner=(0, 0),
        properties={"attributes": {"occluded": False}, "class": "x", "color": [1, 2, 3]},
    )
    assert features_of([one])["feature_class"] == ["x"]
    assert caplog.messages[0] == "left out 'attributes', which is no column of numbers or text"
    assert len(caplog.messages) == 2


def test_coco_keeps_its_own_fields(tmp_path):
    path = saved(save_coco, tmp_path / "a.json", layer_of(COLUMNS))
    first = json.loads(path.read_text("utf-8"))["annotations"][0]
    assert (first["id"], first["area"], first["bbox"]) == (1, 4, [0, 1, 4, 1])
    assert first["checked"] is True
    assert first["properties"]["id"] == "A7"


def test_rows_that_are_about_no_label_are_left_out_and_told(tmp_path, caplog):
    layer = layer_of({"note": ["a", "b"]})
    layer.features = pd.DataFrame({"index": ["first", "2"], "note": ["a", "b"]})
    data = json.loads(saved(save_geojson, tmp_path / "a.geojson", layer).read_text())
    assert [one["properties"].get("note") for one in data["features"]] == [None, None]
    assert caplog.messages == ["left out the features of 2 rows whose index is no label"]
