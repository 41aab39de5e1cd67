"""Images in, labels out."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_sam.cli.files import write_labels


@pytest.mark.parametrize("name", ["mask.png", "mask.tif", "mask.ome.tif"])
def test_a_full_disk_leaves_the_earlier_labels(name, tmp_path, monkeypatch):
    path = tmp_path / name
    labels = np.random.default_rng(0).integers(0, 60, (50, 50)).astype(np.uint8)
    write_labels(path, labels)
    assert np.array_equal(iio.imread(path), labels)
    if name.endswith("tif"):
        with tifffile.TiffFile(path) as file:
            assert file.is_ome == (".ome" in name)

    def cut_off(file, *_, **__):
        file.write_bytes(b"II")
        raise OSError("No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", cut_off)
    monkeypatch.setattr(iio, "imwrite", cut_off)
    with pytest.raises(OSError, match="No space"):
        write_labels(path, labels)
    monkeypatch.undo()
    assert np.array_equal(iio.imread(path), labels)
    assert [file.name for file in tmp_path.iterdir()] == [name]
