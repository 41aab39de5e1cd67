import xml.etree.ElementTree as ET

import pytest

from napari_sam.training.curves import append_row, keep_rows, plot_curves, read_columns


def test_rows_are_appended_dropped_and_read(tmp_path):
    path = tmp_path / "log.csv"
    for step in range(1, 6):
        append_row(path, {"step": step, "masks": 1 / step})
    keep_rows(path, 3)
    append_row(path, {"step": 4, "masks": 0.5})
    assert read_columns(path)["step"] == [1, 2, 3, 4]
    assert read_columns(path)["masks"][-1] == 0.5
    assert read_columns(tmp_path / "none.csv") == {}


def test_a_torn_last_row_is_dropped(tmp_path):
    path = tmp_path / "log.csv"
    append_row(path, {"step": 1, "masks": 1.0})
    with path.open("a") as file:
        file.write("2,0.")
    keep_rows(path, 5)
    assert read_columns(path)["step"] == [1]


def test_the_plot_has_a_line_for_every_figure(tmp_path):
    log, scores = tmp_path / "log.csv", tmp_path / "scores.csv"
    for step in range(200):
        append_row(log, {"step": step, "seconds": 1, "masks": 200 - step, "iou": float("nan")})
    append_row(scores, {"step": 100, "1 click": 0.5})
    plot_curves([scores, log], tmp_path / "run.svg")
    root = ET.parse(tmp_path / "run.svg").getroot()
    lines = [e.get("points").split() for e in root.iter() if e.tag.endswith("polyline")]
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert {"1 click", "masks", "iou"} <= set(texts)
    assert len(lines) == 2
    heights = [float(point.split(",")[1]) for point in lines[1]]
    assert heights == sorted(heights)
    assert heights[-1] == pytest.approx(heights[0] + 120, abs=0.2)
