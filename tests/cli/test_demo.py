"""The demo runs through on a machine without a display, and leaves pictures."""

import imageio.v3 as iio
import tifffile
import zarr

from napari_sam.cli import main
from napari_sam.cli.demo import CLICKS, why_no_window


def test_the_demo_writes_its_results(tmp_path, capsys):
    folder = tmp_path / "demo"
    assert main(["demo", "--no-window", "-o", str(folder)]) == 0
    prompted = tifffile.imread(folder / "prompted.tif")
    assert [prompted[click] for click in CLICKS] == [1, 2, 3]
    assert tifffile.imread(folder / "everything.tif").max() >= 20
    for name in ("prompted", "everything", "stack_middle"):
        assert iio.imread(folder / f"{name}.png").ndim == 3
    labels = zarr.open_array(folder / "stack_labels.zarr" / "labels" / "sam" / "0", mode="r")
    assert labels[:].max() >= 3
    assert "resumed" in capsys.readouterr().out


def test_no_window_without_a_display(monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert why_no_window() is not None
