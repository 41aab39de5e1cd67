"""Labelling one image with one model: prompts, preview, commit, undo; without Qt.

In a script the steps run in line (`predict`); under a dock, `snapshot` and `apply` run on the main
thread and `compute` in a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.segmentation.prompts import Prompts
from napari_sam.viewer.embeddings import EmbeddingCache
from napari_sam.viewer.layers import (
    Plane,
    check_writable,
    level_0,
    new_labels_like,
    shown_plane,
    write_mask,
)
from napari_sam.viewer.napari_private import unwrapped
from napari_sam.viewer.preview import Preview
from napari_sam.viewer.requests import PredictAnswer, PredictRequest, compute, highest_label

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_sam.segmentation.predictor import Predictor

LABELS_NAME = "SAM labels"
_COUNTED_PIXELS = 2**26


class Session:
    """Labels objects of one image layer.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        Shows the image.
    predictor : Predictor
        The model.
    image_layer : Image
        (…, Y, X) or RGB; numpy, dask or zarr; a pyramid is used at full resolution.
    labels_layer : Labels, optional
        Where objects are committed to; a new uint16 layer by default, made at the first commit.

    Examples
    --------
    >>> session = Session(viewer, Predictor("nano"), viewer.layers["cells"])  # doctest: +SKIP
    >>> session.add_point((120, 80))  # doctest: +SKIP
    >>> session.predict()  # doctest: +SKIP
    >>> session.commit()  # doctest: +SKIP
    1
    """

    def __init__(
        self,
        viewer: ViewerModel,
        predictor: Predictor,
        image_layer: Image,
        labels_layer: Labels | None = None,
    ) -> None:
        self.viewer = unwrapped(viewer)
        self.predictor = predictor
        self.image = unwrapped(image_layer)
        self.labels = labels_layer
        self.cache = EmbeddingCache()
        self._points: list[tuple[float, float, int]] = []
        self._box: tuple[float, float, float, float] | None = None
        self._serial = 0
        self._answer: PredictAnswer | None = None
        self._candidate: int | None = None
        self._preview = Preview(self.viewer)
        self._diameter: float | None = None
        self.image.events.data.connect(self._forget)

    @property
    def labels(self) -> Labels | None:
        """Where objects are committed to; None until the first commit makes a layer."""
        return self._labels

    @labels.setter
    def labels(self, layer: Labels | None) -> None:
        layer = None if layer is None else unwrapped(layer)
        if layer is not None:
            check_writable(layer)
        self._labels = layer
        self._highest, self._counted = 0, False

    @property
    def object_diameter(self) -> float | None:
        """Typical object in image pixels: as set, or as estimated on the first plane."""
        return self._diameter

    @object_diameter.setter
    def object_diameter(self, diameter: float | None) -> None:
        self._diameter = diameter
        self.cache.clear()

    @property
    def prediction(self) -> MaskPrediction | None:
        """The candidates that are shown, or None."""
        return None if self._answer is None else self._answer.prediction

    @property
    def candidate(self) -> int:
        """Index of the candidate that is shown: the best scored one unless another was chosen."""
        if self._candidate is not None:
            return self._candidate
        return 0 if self.prediction is None else self.prediction.best

    @property
    def embedding(self) -> ImageEmbedding | None:
        """The embedding that the last answer came from."""
        return None if self._answer is None else self._answer.embedding

    def add_point(self, point: ArrayLike, *, foreground: bool = True) -> None:
        """Add a point prompt.

        Parameters
        ----------
        point : array_like
            (row, col) in pixels of the shown plane of the image's data.
        foreground : bool
            Whether the point lies in the object.
        """
        row, col = np.asarray(point, np.float64)
        self._points.append((float(row), float(col), int(foreground)))

    def add_box(self, box: ArrayLike) -> None:
        """Set the box prompt: (row_min, col_min, row_max, col_max) in pixels of the shown plane."""
        top, left, bottom, right = (float(side) for side in np.asarray(box, np.float64))
        self._box = (top, left, bottom, right)

    def set_prompts(
        self,
        points: NDArray[np.floating],
        labels: Sequence[int] | NDArray[np.integer],
        box: ArrayLike | None = None,
    ) -> None:
        """Replace all prompts: points (N, 2) with labels (N,), and a box (4,) or None."""
        self._points = [
            (float(row), float(col), int(label))
            for (row, col), label in zip(points, labels, strict=True)
        ]
        self._box = None
        if box is not None:
            self.add_box(box)

    def snapshot(self) -> PredictRequest:
        """Take down what the viewer shows and the prompts say; for the main thread, and quick.

        Raises
        ------
        ValueError
            If the viewer shows no plane of the image, or a prompt lies outside of it.
        """
        plane = shown_plane(self.viewer, self.image)
        prompts = Prompts(
            points=[(row, col) for row, col, _ in self._points] or None,
            point_labels=[label for _, _, label in self._points] or None,
            box=self._box,
            mask_input=self._previous_logits(plane),
        )
        prompts.check_inside(plane.shape)
        self._serial += 1
        return PredictRequest(
            serial=self._serial,
            plane=plane,
            array=level_0(self.image),
            prompts=prompts,
            predictor=self.predictor,
            cache=self.cache,
            object_diameter=self._diameter,
            uncounted=None if self._labels is None or self._counted else self._labels.data,
        )

    def apply(self, answer: PredictAnswer) -> bool:
        """Show an answer, unless it is no longer the latest; for the main thread.

        Returns
        -------
        bool
            Whether the answer was shown.
        """
        if answer.request.serial != self._serial:
            return False
        self._answer = answer
        self._candidate = None
        self._diameter = self._diameter or answer.embedding.object_diameter
        if answer.request.uncounted is not None:
            self._highest = max(self._highest, answer.highest_label)
            self._counted = True
        self._show()
        return True

    def predict(self) -> MaskPrediction | None:
        """Predict from the prompts there are and show the best candidate; runs in line."""
        self.apply(compute(self.snapshot()))
        return self.prediction

    def choose(self, candidate: int) -> None:
        """Show another candidate.

        Raises
        ------
        ValueError
            If there is no such candidate.
        """
        count = 0 if self.prediction is None else len(self.prediction)
        if not 0 <= candidate < count:
            raise ValueError(f"There are {count} candidates; there is no candidate {candidate}")
        self._candidate = candidate
        self._show()

    def commit(self, label_id: int | None = None, *, overwrite: bool = False) -> int:
        """Write the shown mask into the Labels layer, as one step of its undo history.

        Parameters
        ----------
        label_id : int, optional
            The object's label; the next free one by default.
        overwrite : bool
            Whether pixels of other objects are taken; by default they are left alone.

        Returns
        -------
        int
            The label.

        Raises
        ------
        ValueError
            If nothing is shown, the mask is empty or covered by other objects, or the layer cannot
            be written.
        """
        if self._answer is None or self.prediction is None:
            raise ValueError("There is no mask to commit; add a point or a box first")
        mask = self.prediction.masks[self.candidate]
        if not mask.any():
            raise ValueError("The mask is empty; add a point in the object, or a box around it")
        plane = self._answer.request.plane
        if shown_plane(self.viewer, self.image) != plane:
            raise ValueError("The mask belongs to another slice; go back to it, or predict again")
        labels = self._output()
        value = self.next_label() if label_id is None else int(label_id)
        if value <= 0:
            raise ValueError(f"A label must be 1 or more, got {value}")
        self._widen(labels, value)
        written = write_mask(
            self.viewer, self.image, plane, mask, labels, value, overwrite=overwrite
        )
        if not written:
            raise ValueError(
                "Other objects cover this mask wholly; nothing was written. Allow overwriting to "
                "replace them"
            )
        self._highest = max(self._highest, value)
        self.clear()
        return value

    def next_label(self) -> int:
        """Return the smallest label above all that are in use.

        Small arrays are counted anew, since a person may have painted; large ones and arrays on
        disk are counted once, in `compute`.
        """
        if self._labels is None:
            return 1
        data = self._labels.data
        if isinstance(data, np.ndarray) and data.size <= _COUNTED_PIXELS:
            return max(self._highest, highest_label(data)) + 1
        if not self._counted:
            self._highest, self._counted = highest_label(data), True
        return max(self._highest, int(self._labels.selected_label) - 1) + 1

    def clear(self) -> None:
        """Drop prompts and preview."""
        self._points, self._box = [], None
        self._answer, self._candidate = None, None
        self._serial += 1
        self._show()

    def undo(self) -> None:
        """Take back the last prompt; where there is none, the last commit."""
        if self._points:
            self._points.pop()
        elif self._box is not None:
            self._box = None
        elif self._labels is not None:
            self._labels.undo()
            return
        self._answer = None
        if self._points or self._box is not None:
            self.predict()
        else:
            self.clear()

    def close(self) -> None:
        """Stop listening to the image and take the preview away."""
        self.image.events.data.disconnect(self._forget)
        self._serial += 1
        self._preview.remove()

    def _forget(self, event: object = None) -> None:  # noqa: ARG002
        self.object_diameter = None
        self.clear()

    def _previous_logits(self, plane: Plane) -> NDArray[np.float32] | None:
        """Return the shown candidate's logits where the prompts only grew since."""
        if self._answer is None or self._answer.prediction is None:
            return None
        request = self._answer.request
        before = request.prompts
        if request.plane != plane or request.predictor is not self.predictor:
            return None
        box = None if before.box is None else tuple(np.asarray(before.box).tolist())
        points = [] if before.points is None else np.asarray(before.points).tolist()
        now = [[row, col] for row, col, _ in self._points]
        if box != self._box or len(now) <= len(points) or now[: len(points)] != points:
            return None
        logits: NDArray[np.float32] = self._answer.prediction.low_res_logits[self.candidate]
        return logits

    def _output(self) -> Labels:
        labels = self._labels
        if labels is None or labels not in self.viewer.layers:
            labels = new_labels_like(self.viewer, self.image, LABELS_NAME)
            self.labels = labels
        return labels

    def _widen(self, labels: Labels, value: int) -> None:
        """Make room for more than 65,535 labels where the layer is a plain array of ours."""
        ours = labels.name.startswith(LABELS_NAME) and isinstance(labels.data, np.ndarray)
        if ours and value > np.iinfo(labels.data.dtype).max:
            labels.data = labels.data.astype(np.uint32)

    def _show(self) -> None:
        """Put the shown candidate into the preview layer, or nothing."""
        if self._answer is None or self.prediction is None:
            self._preview.hide()
            return
        mask = self.prediction.masks[self.candidate]
        self._preview.show(mask, self.image, self._answer.request.plane)
