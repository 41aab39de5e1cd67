"""``napari-sam demo``: the main job on a real picture and a small volume, without a download."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.cli.bars import with_bar
from napari_sam.cli.files import write_labels
from napari_sam.segmentation.everything import iter_everything
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts
from napari_sam.volume import VolumeReport, iter_volume

CLICKS = ((50, 155), (123, 206), (192, 208))
"""Three coins of the picture, (row, col)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DemoResult:
    """What the demo made.

    Attributes
    ----------
    picture, prompted, everything : ndarray
        (H, W): the picture, labels of the clicked objects, labels of everything.
    stack, stack_labels : ndarray
        (Z, Y, X): a volume and its linked labels.
    """

    picture: NDArray[np.generic]
    prompted: NDArray[np.uint8]
    everything: NDArray[np.uint32]
    stack: NDArray[np.generic]
    stack_labels: NDArray[np.generic]


def demo(arguments: argparse.Namespace) -> None:
    """Run the demo; open napari on its results, or write them to a folder."""
    folder = _taken(Path(arguments.output))
    predictor = Predictor("nano")
    result = _compute(predictor, folder)
    reason = "--no-window was given" if arguments.no_window else why_no_window()
    if reason is None:
        _show(result)
    else:
        paths = list(_write(result, folder))
        print(f"No napari window: {reason}. Results and pictures:")
        for path in paths:
            print(f"  {path}")


def _taken(folder: Path) -> Path:
    """Make a folder, or take one that an earlier demo made: what is in it is written over.

    Raises
    ------
    ValueError
        If it holds anything else.
    """
    mark = folder / ".napari_sam_demo"
    folder.mkdir(parents=True, exist_ok=True)
    if not mark.is_file() and next(folder.iterdir(), None) is not None:
        raise ValueError(f"{str(folder)!r} has other contents; choose a new folder")
    mark.touch()
    return folder


def why_no_window() -> str | None:
    """Return why no window can be opened here, or None where one can."""
    if sys.platform.startswith("linux"):
        shown = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if not shown:
            return "there is no display"
    if os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return "Qt runs without a display (QT_QPA_PLATFORM)"
    try:
        import qtpy  # noqa: F401, TID251
    except ImportError:
        return "no Qt binding is installed; pip install 'napari-sam[all]'"
    return None


def _compute(predictor: Predictor, folder: Path) -> DemoResult:
    from napari_sam.viewer.sample_data import coins_2d, nuclei_3d

    picture = coins_2d()[0][0]
    print(f"1. Embedding a picture of {picture.shape} pixels with {predictor.model_name} ...")
    embedding = predictor.embed(picture)
    print(f"2. {len(CLICKS)} clicks:")
    prompted = np.zeros(picture.shape[:2], np.uint8)
    prompts = [Prompts(points=[click]) for click in CLICKS]
    answers = predictor.predict(embedding, prompts, closer_look=True)
    for number, (click, answer) in enumerate(zip(CLICKS, answers, strict=True), start=1):
        mask = answer.masks[answer.best]
        prompted[mask & (prompted == 0)] = number
        score = answer.predicted_iou[answer.best]
        print(f"   at {click}: {int(mask.sum())} pixels, predicted IoU {score:.2f}")
    everything = with_bar(iter_everything(predictor, picture))
    print(f"3. Everything: {everything.max()} objects")
    stack = nuclei_3d()[0][0]
    report = _volume(predictor, stack, folder)
    return DemoResult(
        picture=picture,
        prompted=prompted,
        everything=everything,
        stack=stack,
        stack_labels=_labels(report),
    )


def _volume(predictor: Predictor, stack: NDArray[np.generic], folder: Path) -> VolumeReport:
    """Segment a small zarr volume: stop in the middle, then resume."""
    import zarr

    source, output = folder / "stack.zarr", folder / "stack_labels.zarr"
    for old in (source, output):
        shutil.rmtree(old, ignore_errors=True)
    zarr.create_array(source, data=np.ascontiguousarray(stack))
    job = iter_volume(predictor, source, output)
    for event in job:
        if event.stage == "segment" and event.done >= len(stack) // 2:
            break
    job.close()
    print(f"4. A volume of {stack.shape}: stopped after {event.done} slices, and resumed")
    report = with_bar(iter_volume(predictor, source, output))
    print(
        f"   {report.n_resumed} slices were done before; {report.n_objects} objects linked "
        f"through z in {report.labels_path}"
    )
    return report


def _labels(report: VolumeReport) -> NDArray[np.generic]:
    import zarr

    return np.asarray(zarr.open_array(report.labels_path / "0", mode="r")[:])


def _write(result: DemoResult, folder: Path) -> Iterator[Path]:
    """Write label images, and pictures of them with outlines."""
    import imageio.v3 as iio

    middle = len(result.stack) // 2
    flat = {
        "prompted": (result.picture, result.prompted),
        "everything": (result.picture, result.everything),
        "stack_middle": (result.stack[middle], result.stack_labels[middle]),
    }
    for name, (image, labels) in flat.items():
        path = folder / f"{name}.tif"
        write_labels(path, labels)
        yield path
        path = folder / f"{name}.png"
        iio.imwrite(path, outlined(image, labels))
        yield path
    yield folder / "stack_labels.zarr"


def outlined(image: NDArray[np.generic], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Draw labels (H, W) as tints and outlines on an image (H, W); returns (H, W, 3) uint8."""
    from skimage.color import label2rgb
    from skimage.segmentation import find_boundaries

    gray = image.astype(np.float64)
    gray = (gray - gray.min()) / max(float(np.ptp(gray)), 1e-9)
    tinted = label2rgb(labels, gray, alpha=0.3, bg_label=0)
    tinted[find_boundaries(labels, mode="inner")] = (1.0, 0.85, 0.1)
    return np.asarray(np.clip(tinted, 0, 1) * 255, np.uint8)


def _show(result: DemoResult) -> None:
    """Open napari with the results and both docks; the stack lies to the right of the picture."""
    import napari

    viewer = napari.Viewer(title="napari-sam demo")
    beside = (0, 0, result.picture.shape[1] + 20)
    viewer.add_image(result.stack, name="stack", translate=beside)
    viewer.add_labels(result.stack_labels.astype(np.uint16), name="stack labels", translate=beside)
    picture = viewer.add_image(result.picture, name="coins")
    viewer.add_labels(result.everything.astype(np.uint16), name="everything", opacity=0.35)
    viewer.add_labels(result.prompted, name="three clicks")
    viewer.add_points(np.array(CLICKS), name="clicks", size=8, face_color="yellow")
    viewer.layers.selection.active = picture
    viewer.window.add_plugin_dock_widget("napari-sam", "Everything")
    viewer.window.add_plugin_dock_widget("napari-sam", "Segment", tabify=True)
    viewer.reset_view()
    napari.run()
