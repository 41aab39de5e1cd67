import json
from pathlib import Path

import numpy as np
import pytest

from napari_sam.segmentation.annotations import AnnotatedImage, annotations_from_labels
from napari_sam.segmentation.coco import to_coco
from napari_sam.segmentation.formats import (
    read_annotations,
    recognize,
    write_annotations,
    write_json,
)


def image_of(labels, **known) -> AnnotatedImage:
    found = annotations_from_labels(labels, **known)
    return AnnotatedImage(shape=labels.shape, annotations=found, name="cells")


@pytest.mark.parametrize(
    ("name", "file_format", "written"),
    [
        ("cells.json", None, "coco"),
        ("CELLS.GEOJSON", None, "geojson"),
        ("cells.json", "sa1b", "sa1b"),
        ("cells.txt", "geojson", "geojson"),
    ],
)
def test_files_are_known_by_what_they_hold(tmp_path, name, file_format, written):
    labels = np.arange(12).reshape(3, 4) // 3
    path = tmp_path / name
    write_annotations(path, image_of(labels), file_format=file_format)
    assert recognize(json.loads(path.read_text("utf-8"))) == written
    [read] = read_annotations(path)
    assert (read.name, read.shape) == ("cells", (3, 4))
    assert np.array_equal(read.labels(), labels)


def test_numbers_of_numpy_and_all_letters_are_written(tmp_path):
    properties = {"count": np.int64(3), "point": np.array([1.5, 2.0]), "note": "Größe"}
    image = image_of(np.ones((2, 2), int), properties={1: properties})
    write_annotations(tmp_path / "cells.json", image)
    assert "Größe" in (tmp_path / "cells.json").read_text("utf-8")
    [found] = read_annotations(tmp_path / "cells.json")[0].annotations
    assert found.properties == {"count": 3, "point": [1.5, 2.0], "note": "Größe"}
    with pytest.raises(TypeError, match="got set"):
        write_json(tmp_path / "no.json", to_coco(image_of(np.eye(1, dtype=int))) | {"x": {1}})


def test_what_fails_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "cells.json"
    write_annotations(path, image_of(np.ones((2, 2), int)))
    before = path.read_bytes()

    def cut_off(file, data):
        with file.open("wb") as opened:
            opened.write(data[:9])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", cut_off)
    with pytest.raises(OSError, match="No space"):
        write_annotations(path, image_of(np.zeros((2, 2), int)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["cells.json", "cells.geojson"])
def test_names_that_are_no_text_come_back(tmp_path, name):
    labels = np.ones((2, 2), int)
    foreign = "Zellen_\udce4.tif"  # a file name in Latin-1, as Python reads it
    found = annotations_from_labels(labels, categories={1: foreign})
    image = AnnotatedImage(shape=labels.shape, annotations=found, name=foreign)
    write_annotations(tmp_path / name, image)
    [read] = read_annotations(tmp_path / name)
    assert (read.name, read.annotations[0].category) == (foreign, foreign)


def test_a_byte_order_mark_is_no_trouble(tmp_path):
    path = tmp_path / "cells.json"
    path.write_text(json.dumps(to_coco(image_of(np.eye(2, dtype=int)))), encoding="utf-8-sig")
    assert read_annotations(path)[0].labels().tolist() == [[1, 0], [0, 1]]


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "notes.json"
    with pytest.raises(FileNotFoundError):
        read_annotations(path)
    for content, message in ((b"{", "must be JSON"), (b"\xff", "must be JSON"), (b"7", "got 7")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_annotations(path)
    with pytest.raises(ValueError, match=r"written as \.json or \.geojson"):
        write_annotations(tmp_path / "cells.xml", image_of(np.eye(2, dtype=int)))
