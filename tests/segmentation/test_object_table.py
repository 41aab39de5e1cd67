import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_sam.segmentation.object_table import (
    MeasurementTable,
    measure_objects,
    read_table,
    write_table,
)


def two_rectangles() -> np.ndarray:
    """Label 2 has 4 x 6 pixels from (1, 2), label 5 one pixel."""
    labels = np.zeros((8, 10), np.uint16)
    labels[1:5, 2:8] = 2
    labels[7, 9] = 5
    return labels


def row_of(table, label_id) -> dict:
    [at] = np.flatnonzero(table.columns["label_id"] == label_id)
    return {name: values[at] for name, values in table.columns.items()}


def test_a_rectangle_in_micrometers():
    table = measure_objects(two_rectangles(), spacing=(0.5, 0.25), unit="micrometer")
    assert len(table) == 2
    found = row_of(table, 2)
    assert found["area"] == 24 * 0.125
    assert (found["centroid_row"], found["centroid_col"]) == (2.5 * 0.5, 4.5 * 0.25)
    assert found["equivalent_diameter"] == pytest.approx(2 * np.sqrt(3 / np.pi))
    assert found["solidity"] == 1
    assert [found[side] for side in ("row_min", "col_min", "row_max", "col_max")] == [1, 2, 5, 8]
    # second moments of pixels: (n ** 2 - 1) / 12 steps squared, with the axis 4 deviations long
    assert found["axis_major_length"] == pytest.approx(4 * 0.5 * np.sqrt(15 / 12))
    assert found["axis_minor_length"] == pytest.approx(4 * 0.25 * np.sqrt(35 / 12))
    assert table.units == {
        "area": "micrometer^2",
        "centroid_row": "micrometer",
        "centroid_col": "micrometer",
        "equivalent_diameter": "micrometer",
        "axis_major_length": "micrometer",
        "axis_minor_length": "micrometer",
        "row_min": "pixel",
        "col_min": "pixel",
        "row_max": "pixel",
        "col_max": "pixel",
    }


def test_a_stack_has_volumes():
    labels = np.zeros((4, 6, 6), int)
    labels[1:3, 2:4, 1:5] = 1
    table = measure_objects(labels, spacing=(2, 1, 1), unit="micrometer")
    found = row_of(table, 1)
    assert found["volume"] == 16 * 2
    assert table.units["volume"] == "micrometer^3"
    assert (found["centroid_z"], found["z_min"], found["z_max"]) == (3, 1, 3)
    assert not {"area", "solidity", "eccentricity"} & set(found)


def test_pixels_are_no_unit_of_what_is_scaled():
    scaled = measure_objects(two_rectangles(), spacing=(0.5, 0.5))
    assert row_of(scaled, 2)["area"] == 6
    assert set(scaled.units) == {"row_min", "col_min", "row_max", "col_max"}
    assert measure_objects(two_rectangles(), spacing=(1, 1)).units["area"] == "pixel^2"


def test_intensities_of_gray_and_of_channels():
    labels = two_rectangles()
    image = np.zeros((8, 10))
    image[1:5, 2:5], image[7, 9] = 6, 9
    found = row_of(measure_objects(labels, image), 2)
    assert (found["intensity_mean"], found["intensity_max"], found["intensity_min"]) == (3, 6, 0)
    channels = np.stack([image, image * 2], -1)
    found = row_of(measure_objects(labels, channels), 5)
    assert (found["intensity_mean_0"], found["intensity_mean_1"]) == (9, 18)
    with pytest.raises(ValueError, match=r"got \(8, 9\)"):
        measure_objects(labels, image[:, :9])


def test_what_the_caller_knows_is_joined():
    columns = {"class": {2: "cell"}, "predicted_iou": {2: 0.5}, "clicks": {2: 1, 5: 3}}
    table = measure_objects(two_rectangles(), columns=columns)
    assert table.columns["class"].tolist() == ["cell", ""]
    assert table.columns["predicted_iou"][0] == 0.5
    assert np.isnan(table.columns["predicted_iou"][1])
    assert table.columns["clicks"].tolist() == [1, 3]
    with pytest.raises(ValueError, match="got 'area'"):
        measure_objects(two_rectangles(), columns={"area": {}})


def assert_same(table, other):
    assert list(other.columns) == list(table.columns)
    assert dict(other.units) == dict(table.units)
    for name, values in table.columns.items():
        np.testing.assert_array_equal(other.columns[name], values)
        assert other.columns[name].dtype.kind == values.dtype.kind


def test_a_table_comes_back(tmp_path):
    columns = {"class": {2: "2", 5: 'a, "b"'}, "predicted_iou": {2: 0.1}, "note": {5: "Größe"}}
    table = measure_objects(
        two_rectangles(), spacing=(0.1, 0.3), unit="micrometer", columns=columns
    )
    path = tmp_path / "objects.csv"
    write_table(table, path)
    header = path.read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("label_id,area [micrometer^2],centroid_row [micrometer],")
    assert header.endswith("row_max [pixel],col_max [pixel],class,predicted_iou,note")
    assert_same(table, read_table(path))


KNOWN = {
    "well": {2: "1_2", 5: "12_3"},
    "code": {2: "007", 5: "010"},
    "digits": {2: "1", 5: "2"},
    "note": {2: "nan", 5: "inf"},
    "answer": {2: "True", 5: "False"},
    "nothing": {2: "", 5: ""},
    "lines": {2: 'a,\n"b"\r\n', 5: " "},
    "x [y]": {2: 1.5, 5: 2},
    " []": {2: 1, 5: 2},
    "a, b [z]": {2: 1, 5: 2},
    "flag": {2: True, 5: False},
    "large": {2: 2**60 + 1, 5: -1},
    "largest": {2: 2**63 + 5, 5: 1},
    "gaps": {5: 3},
    "unknown": {},
}


def test_what_looks_like_something_else_comes_back(tmp_path):
    table = measure_objects(two_rectangles(), unit="mm", columns=KNOWN)
    write_table(table, tmp_path / "objects.csv")
    assert_same(table, read_table(tmp_path / "objects.csv"))
    kinds = {name: table.columns[name].dtype.kind for name in KNOWN}
    assert "".join(kinds.values()) == "UUUUUUUfiibiuff"


def test_numbers_that_nan_would_round_are_text():
    columns = {"id": {2: 2**53 + 1}, "mixed": {2: 2**53 + 1, 5: 0.5}, "truth": {2: True}}
    table = measure_objects(two_rectangles(), columns=columns)
    assert [table.columns[name].tolist() for name in columns] == [
        ["9007199254740993", ""],
        ["9007199254740993", "0.5"],
        ["True", ""],
    ]


def test_label_ids_are_never_rounded(tmp_path):
    labels = np.array([[2**53, 2**53 + 1, 2**63 + 5]], np.uint64)
    table = measure_objects(labels)
    write_table(table, tmp_path / "objects.csv")
    read = read_table(tmp_path / "objects.csv").columns["label_id"]
    assert read.tolist() == table.columns["label_id"].tolist() == labels[0].tolist()


def test_tables_of_other_programs_are_read(tmp_path):
    path = tmp_path / "objects.csv"
    path.write_text("label_id,area [um^2],n,well,code\n3.0,1.5,,007,1_2\n\n4,2,5,8,3\n")
    columns = read_table(path).columns
    assert columns["label_id"].tolist() == [3, 4]
    assert columns["area"].tolist() == [1.5, 2]
    np.testing.assert_array_equal(columns["n"], [np.nan, 5])
    assert columns["well"].tolist() == ["007", "8"]
    assert columns["code"].tolist() == ["1_2", "3"]
    path.write_text('"label_id","area [um^2]"\n"3","1.5"\n')  # all in quotes
    assert read_table(path).columns["area"].tolist() == [1.5]


def test_what_fails_leaves_the_earlier_table(tmp_path):
    class Torn:
        """Text that cannot be had."""

        def __str__(self):
            raise OSError("No space left on device")

    path = tmp_path / "objects.csv"
    write_table(measure_objects(two_rectangles()), path)
    before = path.read_bytes()
    columns = {"label_id": np.array([1]), "torn": np.array([Torn()])}
    with pytest.raises(OSError, match="No space"):
        write_table(MeasurementTable(columns=columns), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_no_text_are_written(tmp_path):
    table = measure_objects(two_rectangles(), columns={"file": {2: "\udce4"}})
    write_table(table, tmp_path / "objects.csv")
    assert read_table(tmp_path / "objects.csv").columns["file"].tolist() == ["\\udce4", ""]


@settings(max_examples=30, deadline=None)
@given(
    npst.arrays(
        np.int64, npst.array_shapes(min_dims=2, max_dims=3, max_side=7), elements=st.integers(0, 4)
    )
)
def test_any_labels_are_measured_and_come_back(tmp_path_factory, labels):
    table = measure_objects(labels, spacing=(0.3,) * labels.ndim, unit="mm")
    size = table.columns["area" if labels.ndim == 2 else "volume"]
    np.testing.assert_allclose(size.sum(), (labels > 0).sum() * 0.3**labels.ndim)
    path = tmp_path_factory.mktemp("tables") / "objects.csv"
    write_table(table, path)
    again = read_table(path)
    if len(table):
        assert_same(table, again)
    assert list(again.columns) == list(table.columns)


def test_high_ids_keep_their_number():
    assert measure_objects(np.array([[0, 2**40]])).columns["label_id"].tolist() == [2**40]


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.zeros((2, 2, 2, 2), int), {}, "measure one time point"),
        (np.zeros((2, 2)), {}, "labels must be integers"),
        (np.zeros((2, 2), int), {"spacing": (1,)}, "must be 2 sizes"),
        (np.zeros((2, 2), int), {"spacing": (1, 0)}, r"above 0, one per axis, got \(1, 0\)"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels, options, message):
    with pytest.raises(ValueError, match=message):
        measure_objects(labels, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have the column label_id"),
        (b"a,b\n1,2\n", "must have the column label_id"),
        (b"label_id,area\n1\n", "line 2 must have 2 values with commas between, got 1"),
        (b"label_id,area [um^2],area\n1,2,3\n", "got 'area' twice"),
        (b"label_id,\xff\n", "objects.csv must be CSV in UTF-8"),
        (b'label_id,"a\n1,2\n', "text in quotes must end"),
        (b"label_id\n1.5\n", r"label_id must be whole numbers .*, got \['1.5'\]"),
        (b"label_id\n99999999999999999999\n", "label_id must be whole numbers"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "objects.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_table(path)


def test_columns_have_one_length():
    with pytest.raises(ValueError, match="one length"):
        MeasurementTable(columns={"label_id": np.arange(2), "area": np.arange(3)})


def test_a_lazy_image_is_measured_as_its_pixels():
    dask_array = pytest.importorskip("dask.array")
    labels = np.arange(16, dtype=np.uint8).reshape(4, 4) // 8
    image = labels * 3.0
    lazy = measure_objects(labels, dask_array.from_array(image))
    for name, values in measure_objects(labels, image).columns.items():
        np.testing.assert_array_equal(lazy.columns[name], values)
