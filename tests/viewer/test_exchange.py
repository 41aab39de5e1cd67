"""Labels layers to files and back, as napari's writers and readers are called."""

import json

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels

from napari_sam.segmentation.annotations import AnnotatedImage, Annotation
from napari_sam.segmentation.formats import (
    read_annotations,
    recognize,
    write_annotations,
)
from napari_sam.segmentation.object_table import read_table
from napari_sam.viewer.exchange import (
    annotated,
    get_reader,
    layer_data,
    save_coco,
    save_csv,
    save_geojson,
    save_ome_zarr,
    save_tiff,
)
from napari_sam.volume import OutputError, open_source


def cells() -> np.ndarray:
    """A cell with a hole, one that touches it, and one of two parts."""
    labels = np.zeros((12, 16), np.uint16)
    labels[1:8, 1:8] = 3
    labels[3:5, 3:5] = 0
    labels[1:8, 8:11] = 4
    labels[10, [2, 14]] = 900
    return labels


FEATURES = {
    "index": [0, 3, 4],
    "class": ["", "cell", "debris"],
    "predicted_iou": [np.nan, 0.5, np.nan],
    "clicks": [0, 2, 7],
}


def layer_of(labels, **options) -> Labels:
    return Labels(labels, name="cells", **options)


def saved(write, path, layer):
    data, meta, kind = layer.as_layer_data_tuple()
    assert kind == "labels"
    assert write(str(path), data, meta) == [str(path)]
    return path


def opened(path) -> list[Labels]:
    reader = get_reader(str(path))
    return [Labels(data, **meta) for data, meta, _ in reader(str(path))]


@pytest.mark.parametrize(
    ("write", "name"), [(save_coco, "cells.json"), (save_geojson, "cells.geojson")]
)
def test_labels_classes_and_scores_come_back(tmp_path, write, name):
    [layer] = opened(saved(write, tmp_path / name, layer_of(cells(), features=FEATURES)))
    assert (layer.name, layer.data.dtype) == ("cells", np.uint16)
    assert np.array_equal(layer.data, cells())
    assert list(layer.features) == ["index", "class", "predicted_iou", "clicks"]
    assert layer.features["index"].tolist() == [3, 4, 900]
    assert layer.features["class"].tolist() == ["cell", "debris", "object"]
    assert layer.features["clicks"][:2].tolist() == [2, 7]
    assert layer.features["predicted_iou"][0] == 0.5
    assert layer.features["predicted_iou"].isna().tolist() == [False, True, True]
    # and once more, now from what was read
    assert np.array_equal(opened(saved(write, tmp_path / name, layer))[0].data, cells())


@pytest.mark.parametrize(
    ("write", "name"), [(save_coco, "cells.json"), (save_geojson, "cells.geojson")]
)
@pytest.mark.parametrize("shape", [(3, 12, 16), (2, 3, 12, 16)])
def test_stacks_come_back(tmp_path, write, name, shape):
    stack = np.zeros(shape, np.uint16)
    stack[..., 1, :, :] = cells()
    [layer] = opened(saved(write, tmp_path / name, layer_of(stack)))
    assert np.array_equal(layer.data, stack)


def test_nothing_comes_back_as_nothing(tmp_path):
    for write, name in ((save_coco, "none.json"), (save_geojson, "none.geojson")):
        [layer] = opened(saved(write, tmp_path / name, layer_of(np.zeros((4, 5), np.uint8))))
        assert (layer.data.shape, layer.data.any()) == ((4, 5), False)


def test_pyramids_are_written_at_full_resolution(tmp_path):
    layer = layer_of([cells(), cells()[::2, ::2]], multiscale=True)
    [read] = opened(saved(save_coco, tmp_path / "cells.json", layer))
    assert np.array_equal(read.data, cells())


def test_without_an_index_rows_are_labels():
    features = {"class": ["background", "a", "b"]}
    labels = np.array([[0, 1, 2, 3]])
    data, meta, _ = layer_of(labels, features=features).as_layer_data_tuple()
    found = [one.category for one in annotated(data, meta).annotations]
    assert found == ["a", "b", "object"]


def test_crowds_colours_and_high_ids_are_kept():
    crowd = Annotation(
        label_id=70_000,
        mask=np.ones((2, 2), bool),
        corner=(0, 0),
        category="cell",
        is_crowd=True,
        properties={"color": [1, 2, 3], "note": "x"},
    )
    image = AnnotatedImage(shape=(3, 3), annotations=[crowd])
    labels, meta, kind = layer_data(image)
    assert (labels.dtype, kind) == (np.uint32, "labels")
    assert meta["metadata"] == {"class_colors": {"cell": (1, 2, 3)}}
    [again] = annotated(labels, meta).annotations
    assert (again.label_id, again.is_crowd, again.properties) == (70_000, True, {"note": "x"})


@pytest.mark.parametrize(
    ("write", "name"), [(save_coco, "cells.json"), (save_geojson, "cells.geojson")]
)
def test_ids_beyond_32_bit_come_back(tmp_path, write, name):
    labels = np.array([[0, 2**32, 2**53, 2**53 + 1, 2**62]], np.int64)
    [layer] = opened(saved(write, tmp_path / name, layer_of(labels)))
    assert layer.data.dtype == np.uint64
    assert layer.data.tolist() == labels.tolist()
    assert layer.features["index"].tolist() == labels[0, 1:].tolist()


def test_colours_of_classes_go_to_qupath(tmp_path):
    layer = layer_of(cells(), features=FEATURES, metadata={"class_colors": {"cell": (1, 2, 3)}})
    path = saved(save_geojson, tmp_path / "cells.geojson", layer)
    first = json.loads(path.read_text("utf-8"))["features"][0]["properties"]
    assert first["classification"] == {"name": "cell", "color": [1, 2, 3]}
    assert opened(path)[0].metadata["class_colors"]["cell"] == (1, 2, 3)


def test_measurements_have_the_units_of_the_layer(tmp_path):
    layer = layer_of(
        cells(), features=FEATURES, scale=(0.5, 0.5), units=("um", "um"), translate=(9, 9)
    )
    table = read_table(saved(save_csv, tmp_path / "cells.csv", layer))
    assert table.columns["label_id"].tolist() == [3, 4, 900]
    assert table.columns["area"].tolist() == [45 / 4, 21 / 4, 2 / 4]
    assert table.units["area"] == "micrometer^2"
    assert table.columns["class"].tolist() == ["cell", "debris", ""]
    assert table.columns["predicted_iou"][0] == 0.5
    with pytest.raises(ValueError, match=r"got \['micrometer', 'second'\]"):
        saved(save_csv, tmp_path / "no.csv", layer_of(cells(), units=("s", "um")))


@pytest.mark.parametrize(
    ("shape", "axes"), [((12, 16), "YX"), ((3, 12, 16), "ZYX"), ((2, 3, 12, 16), "TZYX")]
)
def test_tif_has_the_size_of_pixels(tmp_path, shape, axes):
    labels = np.broadcast_to(cells(), shape)
    scale, units = (30, 2, 0.5, 0.25)[-len(shape) :], ("s", "um", "um", "um")[-len(shape) :]
    path = saved(save_tiff, tmp_path / "cells.tif", layer_of(labels, scale=scale, units=units))
    assert np.array_equal(tifffile.imread(path), labels)
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == axes
        assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        description = file.ome_metadata
    assert 'PhysicalSizeX="0.25" PhysicalSizeXUnit="µm"' in description
    assert 'PhysicalSizeY="0.5"' in description
    assert ("PhysicalSizeZ" in description) == ("Z" in axes)


def test_a_scale_without_a_unit_is_kept_without_one(tmp_path):
    layer = layer_of(cells(), scale=(0.5, 0.25))
    table = read_table(saved(save_csv, tmp_path / "cells.csv", layer))
    assert table.columns["area"].tolist() == [45 / 8, 21 / 8, 2 / 8]
    assert "area" not in table.units
    assert table.units["row_max"] == "pixel"
    path = saved(save_tiff, tmp_path / "cells.tif", layer)
    source = open_source(path)
    assert (source.scale[1:], source.units[1:]) == ((0.5, 0.25), (None, None))


def test_tif_is_small(tmp_path):
    path = saved(save_tiff, tmp_path / "cells.tif", layer_of(cells().clip(0, 200)))
    assert tifffile.imread(path).dtype == np.uint8
    with tifffile.TiffFile(path) as file:
        assert "PhysicalSize" not in file.ome_metadata
    for labels, message in (
        (np.full((2, 2), 2**40), "renumber them"),
        (np.full((2, 2), -1), "got -1"),
        (np.zeros((1,) * 5, int), "save a part"),
    ):
        with pytest.raises(ValueError, match=message):
            saved(save_tiff, tmp_path / "no.tif", layer_of(labels))


@pytest.mark.parametrize(
    ("write", "name"),
    [(save_coco, "a.json"), (save_geojson, "a.geojson"), (save_csv, "a.csv"), (save_tiff, "a.tif")],
)
def test_names_that_are_no_text_are_written(tmp_path, write, name):
    layer = Labels(cells(), name="\udce4", features={"index": [3], "class": ["\udce4"]})
    assert saved(write, tmp_path / name, layer).stat().st_size > 0


def test_a_stack_is_written_to_tif_plane_by_plane(tmp_path):
    read = []

    class Lazy:
        shape, dtype, ndim = (4, 30, 40), np.dtype(np.uint32), 3

        def __getitem__(self, z):
            read.append(z)
            return np.full(self.shape[1:], z + 1, self.dtype)

        def __array__(self, *_, **__):
            raise MemoryError("read at once")

    (path,) = save_tiff(str(tmp_path / "a.tif"), Lazy(), {"scale": (2, 1, 1), "units": ("um",) * 3})
    assert tifffile.imread(path)[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert set(read) == set(range(4))


def test_a_full_disk_leaves_the_earlier_tif(tmp_path, monkeypatch):
    path = saved(save_tiff, tmp_path / "cells.tif", layer_of(cells()))

    def cut_off(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", cut_off)
    with pytest.raises(OSError, match="No space"):
        saved(save_tiff, path, layer_of(cells()))
    assert np.array_equal(tifffile.imread(path), cells())
    assert list(tmp_path.iterdir()) == [path]


def test_ome_zarr_is_an_image_with_scale_and_place(tmp_path):
    stack = np.zeros((3, 300, 280), np.uint16)
    stack[1, :12, :16] = cells()
    layer = layer_of(stack, scale=(2, 0.5, 0.5), translate=(1, 2, 3), units=("um",) * 3)
    path = saved(save_ome_zarr, tmp_path / "cells.zarr", layer)
    source = open_source(path)
    assert (source.scale, source.translation) == ((2, 0.5, 0.5), (1, 2, 3))
    assert source.units == ("micrometer",) * 3
    assert np.array_equal(np.stack([source.read(z) for z in range(3)]), stack)
    small = open_source(path, level=1)
    assert (small.shape, small.scale) == ((3, 150, 140), (2, 1, 1))
    assert np.array_equal(small.read(1), stack[1, ::2, ::2])
    with pytest.raises(OutputError, match="nothing was changed"):
        saved(save_ome_zarr, path, layer)


@pytest.mark.parametrize("shape", [(12, 16), (2, 3, 12, 16)])
def test_ome_zarr_keeps_the_axes(tmp_path, shape):
    labels = np.broadcast_to(cells(), shape)
    path = saved(save_ome_zarr, tmp_path / "cells.zarr", layer_of(labels))
    source = open_source(path, time=1) if len(shape) == 4 else open_source(path)
    assert np.array_equal(source.read(0), cells())
    assert source.units == (None, None, None)
    with pytest.raises(ValueError, match="must be integers"):
        save_ome_zarr(str(tmp_path / "no.zarr"), np.zeros((2, 2)), {})


def test_napari_ome_zarr_opens_it(tmp_path):
    reader = pytest.importorskip("napari_ome_zarr").napari_get_reader
    path = saved(save_ome_zarr, tmp_path / "cells.zarr", layer_of(cells()))
    [(levels, _, kind)] = reader(str(path))(str(path))
    assert kind == "labels"
    assert np.array_equal(np.asarray(levels[0]), cells())


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "data",
    [
        {"shapes": [], "imagePath": "a.png"},
        {"images": 3},
        {"type": "Topology"},
        [],
        [1, 2],
        "null",
        "{",
        "\ufeff",
        "[" * 100_000,
    ],
)
def test_other_json_is_left_to_others(tmp_path, data):
    assert get_reader(str(write(tmp_path / "other.json", data))) is None


def test_other_paths_are_left_to_others(tmp_path):
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    assert get_reader(str(tmp_path / "bytes.json")) is None
    assert get_reader(str(tmp_path / "missing.json")) is None
    assert get_reader(str(tmp_path / "image.tif")) is None
    assert get_reader([str(tmp_path / "a.json"), str(tmp_path / "b.json")]) is None


def test_a_broken_file_that_is_ours_says_what_is_wrong(tmp_path):
    for data, message in (("{", "must be JSON"), ({"a": 1}, "lost.geojson must be COCO")):
        path = write(tmp_path / "lost.geojson", data)
        with pytest.raises(ValueError, match=message):
            get_reader(str(path))(str(path))
    entry = {"id": 5, "image_id": 1, "segmentation": [[1, 2, 3]]}
    images = [{"id": 1, "width": 4, "height": 4}]
    path = write(tmp_path / "damaged.json", {"images": images, "annotations": [entry]})
    with pytest.raises(ValueError, match=r"damaged.json: annotation 5: polygons must be"):
        get_reader(str(path))(str(path))


def test_every_image_of_a_file_is_a_layer(tmp_path):
    images = [{"id": n, "width": 4, "height": 3 + n, "file_name": f"{n}.png"} for n in range(3)]
    path = write(tmp_path / "data.json", {"images": images, "annotations": []})
    assert [(layer.name, layer.data.shape) for layer in opened(path)] == [
        ("0.png", (3, 4)),
        ("1.png", (4, 4)),
        ("2.png", (5, 4)),
    ]
    write(path, {"images": [{**images[0], "id": n} for n in range(51)], "annotations": []})
    with pytest.raises(ValueError, match="must have 1 to 50 images"):
        opened(path)


def test_whole_slides_are_not_drawn(tmp_path):
    ring = [[80_000, 60_000], [80_010, 60_000], [80_010, 60_010], [80_000, 60_000]]
    path = write(tmp_path / "slide.geojson", {"type": "Polygon", "coordinates": [ring]})
    with pytest.raises(ValueError, match=r"at most .* to be shown, got the shape \(60010, 80010\)"):
        opened(path)


def test_sa1b_and_geojson_open_from_json_too(tmp_path):
    data, meta, _ = layer_of(cells()).as_layer_data_tuple()
    image = annotated(data, meta)
    for file_format in ("sa1b", "geojson", "coco"):
        path = tmp_path / f"{file_format}.json"
        write_annotations(path, image, file_format=file_format)
        assert recognize(json.loads(path.read_text("utf-8"))) == file_format
        [layer] = opened(path)
        assert np.array_equal(layer.data, cells())
        [read] = read_annotations(path)
        assert np.array_equal(read.labels(), cells())
    with pytest.raises(ValueError, match=r"written as \.json or \.geojson"):
        write_annotations(tmp_path / "cells.xml", image)
    write_annotations(tmp_path / "cells.geojson", image)
    assert recognize(json.loads((tmp_path / "cells.geojson").read_text("utf-8"))) == "geojson"


def test_read_layers_fit_into_a_viewer(tmp_path):
    path = saved(save_coco, tmp_path / "cells.json", layer_of(cells(), features=FEATURES))
    viewer = ViewerModel()
    [(data, meta, _)] = get_reader(str(path))(str(path), stack=False)
    layer = viewer.add_labels(data, **meta)
    assert "cell" in layer.get_status((5, 5), world=True)["value"]
