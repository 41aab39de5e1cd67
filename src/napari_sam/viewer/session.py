"""Labelling one image with one model: prompts, preview, commit, undo; without Qt.

In a script the steps run in line (`predict`); under a dock, `snapshot` and `apply` run on the main
thread and `compute` in a worker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from numpy.typing import ArrayLike
from psygnal import Signal

from napari_sam.segmentation.embedding import ImageEmbedding
from napari_sam.segmentation.granularity import SizePreference, by_size
from napari_sam.segmentation.prediction import MaskPrediction
from napari_sam.viewer.commits import commit_change, committable
from napari_sam.viewer.drafts import Draft, Written, count_free, drafts_change, part_by_doubt
from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.history import Change
from napari_sam.viewer.labels_output import LabelsOutput
from napari_sam.viewer.layers import Plane, checked_layer, plane_in_view, shown_plane
from napari_sam.viewer.looks import Looks
from napari_sam.viewer.napari_private import unwrapped
from napari_sam.viewer.object_features import ObjectFeatures
from napari_sam.viewer.objects import Objects
from napari_sam.viewer.overlays import Overlays
from napari_sam.viewer.requests import PredictAnswer, PredictRequest, compute

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sam.segmentation.predictor import Predictor


class Session:
    """Labels objects of one image layer.

    Parameters
    ----------
    viewer : napari.Viewer or ViewerModel
        Shows the image.
    predictor : Predictor
        The model.
    image_layer : Image
        (…, Y, X) or RGB; numpy, dask or zarr, or a pyramid of these.
    labels_layer : Labels, optional
        Where objects are committed to; a new uint16 layer by default, made at the first commit.
    """

    prompts_restored = Signal(ObjectPrompts)
    """Prompts changed by undo, redo or reopening: a dock shows them in its layers."""
    shown = Signal()
    """Another candidate, or none, is shown."""

    def __init__(
        self,
        viewer: ViewerModel,
        predictor: Predictor,
        image_layer: Image,
        labels_layer: Labels | None = None,
    ) -> None:
        self.viewer = unwrapped(viewer)
        self.predictor = predictor
        self.image = checked_layer(image_layer, Image)
        self.looks = Looks(self.viewer, self.image, predictor)
        self.preference = SizePreference()
        self.prompts = ObjectPrompts()
        self._output = LabelsOutput(self.viewer, self.image)
        self.objects = Objects(self.viewer, self._output, self._restore)
        self._features = ObjectFeatures(self._output, self.objects)
        self.labels = labels_layer
        self._serial = 0
        self._reopened: dict[Plane, int] = {}
        self._answer: PredictAnswer | None = None
        self._candidate: int | None = None
        self._peeked: Labels | None = None
        self.overlays = Overlays(self.viewer, self.image)
        self.image.events.data.connect(self._forget)

    @property
    def labels(self) -> Labels | None:
        """Where objects are committed to, one layer for all; None until the first makes it."""
        return self._output.layer

    @labels.setter
    def labels(self, layer: Labels | None) -> None:
        self._output.layer = layer

    @property
    def object_diameter(self) -> float | None:
        """Typical object in image pixels: as set, or as estimated on what is looked at."""
        return self.looks.object_diameter

    @object_diameter.setter
    def object_diameter(self, diameter: float | None) -> None:
        self.looks.object_diameter = diameter

    @property
    def prediction(self) -> MaskPrediction | None:
        """The candidates that are shown, or None."""
        return None if self._answer is None else self._answer.prediction

    @property
    def candidate(self) -> int:
        """Index of the candidate that is shown: what fits best unless another was chosen."""
        if self._candidate is not None:
            return self._candidate
        return 0 if self.prediction is None else self.preference.choose(self.prediction)

    @property
    def is_answered(self) -> bool:
        """Whether what is shown answers the prompts there are."""
        answer = None if self.prediction is None else self._answer
        return answer is not None and answer.request.asked == self.prompts

    @property
    def embedding(self) -> ImageEmbedding | None:
        """The embedding that the last answer came from."""
        return None if self._answer is None else self._answer.embedding

    def add_point(self, point: ArrayLike, *, foreground: bool = True) -> None:
        """Add a point (row, col), in pixels of the shown plane, in the object or outside of it."""
        self._prompt("point", self._here().with_point(point, foreground=foreground))

    def add_box(self, box: ArrayLike) -> None:
        """Set the box prompt: (row_min, col_min, row_max, col_max) in pixels of the shown plane."""
        self._prompt("box", self._here().with_box(box))

    def add_outline(self, outline: ArrayLike) -> None:
        """Set a lasso, (N, 2) corners (row, col): its area is the mask prompt, its bounds a box."""
        self._prompt("lasso", self._here().with_outline(outline))

    def take(self, prompts: ObjectPrompts) -> None:
        """Replace all prompts on the shown plane; those of a reopened object stay its own."""
        here = self._here()
        prompts = dataclasses.replace(prompts, label_id=here.label_id)
        if prompts == here:
            self.prompts = here
        elif prompts.plane != self.prompts.plane:  # a page was turned; nobody prompted anything
            self.prompts = prompts
        else:
            self._prompt("prompts", prompts)

    def snapshot(self) -> PredictRequest:
        """Take down what the viewer shows and the prompts say; for the main thread, and quick.

        Raises
        ------
        ValueError
            If the viewer shows no plane of the image, or a prompt lies outside of it.
        """
        self.prompts = self._here()
        self._serial += 1
        return self.request()

    def request(self) -> PredictRequest:
        """Take the same down for something else than an answer: one under way is still wanted.

        Raises
        ------
        ValueError
            As `snapshot`.
        """
        request = self.looks.request(self._here(), self._serial, self._output.uncounted)
        request.check_inside()
        return self.looks.following(request, self._answer, self.candidate)

    def ahead(self, steps: int = 0) -> PredictRequest | None:
        """Return a request to embed a slice `steps` on; None at the end, or where it is kept."""
        return self.looks.ahead(steps)

    def all_ahead(self, steps: int) -> list[PredictRequest]:
        """Return what is not embedded of the shown slice and so many next; none while prompted."""
        try:
            if not self._here().is_empty:
                return []
            requests = [self.ahead(step) for step in range(steps + 1)]
        except ValueError:  # nothing of the image is shown
            return []
        return [request for request in requests if request is not None]

    def hover_request(self, point: ArrayLike) -> PredictRequest | None:
        """Return a request for what a click at (row, col) would give with the points so far.

        None outside the image. Ask only what `is_embedded`, for it is to be answered at once, and
        without the closer look that a click takes.
        """
        request = self.looks.request(self._here().with_point(point, foreground=True))
        request = dataclasses.replace(request, closer_look=False)
        request = self.looks.following(request, self._answer, self.candidate)
        sides = zip(request.asked.points[-1], request.plane.shape, strict=False)
        return request if all(-0.5 <= at < length - 0.5 for at, length in sides) else None

    def apply(self, answer: PredictAnswer) -> bool:
        """Show an answer, unless it is no longer the latest; returns whether it was shown."""
        if answer.request.serial != self._serial:
            return False
        self._answer = answer
        self._candidate = None
        if answer.request.uncounted is not None:
            self._output.count(answer.highest_label)
        self._show()
        return True

    def apply_hover(self, answer: PredictAnswer) -> None:
        """Show what a click would give, lightly."""
        prediction, plane = answer.prediction, answer.request.plane
        if prediction is not None and plane_in_view(self.viewer, self.image) == plane:
            self.overlays.hover(prediction, self.preference.choose(prediction), plane)

    def peek(self, *, hidden: bool) -> None:
        """Hide all overlays and the objects, or show again those that were shown."""
        self.overlays.set_hidden(hidden=hidden)
        if hidden and self.labels is not None and self.labels.visible:
            self._peeked, self.labels.visible = self.labels, False
        elif not hidden and self._peeked is not None:
            self._peeked.visible, self._peeked = True, None

    def predict(self) -> MaskPrediction | None:
        """Predict from the prompts there are and show the best candidate; runs in line."""
        self.apply(compute(self.snapshot()))
        return self.prediction

    def choose(self, candidate: int) -> None:
        """Show another candidate; ValueError if there is no such one."""
        count = 0 if self.prediction is None else len(self.prediction)
        if not 0 <= candidate < count:
            raise ValueError(f"There are {count} candidates; there is no candidate {candidate}")
        self._candidate = candidate
        self._show()

    def step_candidate(self, steps: int = 1) -> None:
        """Show the next larger candidate, or smaller ones for negative steps; goes round."""
        if self.prediction is not None:
            order = by_size(self.prediction)
            self.choose(order[(order.index(self.candidate) + steps) % len(order)])

    def commit(
        self, label_id: int | None = None, *, overlap: str = "keep", category: str = ""
    ) -> int:
        """Write the shown mask into the Labels layer, as one step of its undo history.

        Parameters
        ----------
        label_id : int, optional
            By default the label of a reopened object, else the next free one.
        overlap, category : str
            As in `commit_change`.

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
        here = shown_plane(self.viewer, self.image)
        answer = committable(self._answer, self.candidate, self.prompts, here)
        value, change = commit_change(
            self._output,
            self.objects.table,
            answer,
            self.candidate,
            label_id=label_id,
            overlap=overlap,
            category=category,
        )
        area = int(answer.prediction.areas[self.candidate]) if answer.prediction else 0
        self.preference = self.preference.accepting(area)
        self.objects.do(change)
        self._reset(ObjectPrompts(plane=answer.request.plane))
        return value

    def add_drafts(
        self, plane: Plane, drafts: Sequence[Draft], origin: str, *, max_doubt: float = 1.0
    ) -> Written:
        """Commit many masks of a plane at once, into background; those in more doubt are left."""
        sure, doubtful = part_by_doubt(drafts, max_doubt)
        change = drafts_change(
            self._output,
            self.objects.table,
            plane,
            sure,
            origin=origin,
            model=self.predictor.model_name,
        )
        if change is not None:
            self.objects.do(change)
        count = 0 if change is None else len(change.entries)
        return Written(count, count_free(self._output, plane, doubtful))

    def reopen(self, label_id: int) -> None:
        """Take up the prompts that an object was made from; a commit then replaces its mask.

        ValueError where `Objects.prompts_of` finds none.
        """
        prompts = self.objects.prompts_of(label_id, self.image)
        change = Change(
            kind="reopen",
            prompts_before=self._here(),
            prompts_after=dataclasses.replace(prompts, label_id=label_id),
        )
        self.objects.do(change)
        self._restore(change)

    def clear(self) -> None:
        """Drop prompts and preview; can be undone."""
        here = ObjectPrompts(plane=self.prompts.plane)
        if not self.prompts.is_empty:
            self._prompt("clear", here)
        self._reset(here)

    def drop_answer(self) -> None:
        """Show no mask: the prompts are gone, or cannot be answered."""
        if self._answer is not None:
            self._answer, self._candidate = None, None
            self._show()
        self._serial += 1

    def take_back(self) -> str | None:
        """Undo the last prompt, commit, deletion, ... without predicting anew; returns its kind."""
        return self.objects.take_back()

    def bring_back(self) -> str | None:
        """Do again what was undone last; returns its kind, or None where there is nothing."""
        return self.objects.bring_back()

    def undo(self) -> str | None:
        """Undo, and show what the prompts that are left give; runs in line."""
        return self._predicted(self.take_back())

    def redo(self) -> str | None:
        """Redo, and show what the prompts give; runs in line."""
        return self._predicted(self.bring_back())

    def close(self) -> None:
        """Stop listening to the image and take the previews away."""
        self.image.events.data.disconnect(self._forget)
        self._serial += 1
        self.overlays.remove()
        self._output.detach()
        self.objects.close()

    # inside

    def _here(self) -> ObjectPrompts:
        """Return the prompts, or none where the shown plane is another one."""
        plane = shown_plane(self.viewer, self.image)
        if self.prompts.plane == plane:
            return self.prompts
        return ObjectPrompts(plane=plane, label_id=self._reopened.get(plane))

    def _prompt(self, kind: str, prompts: ObjectPrompts) -> None:
        before = self.prompts if self.prompts.plane == prompts.plane else None
        before = before or ObjectPrompts(plane=prompts.plane)
        self.prompts = prompts
        self.objects.do(Change(kind=kind, prompts_before=before, prompts_after=prompts))

    def _restore(self, change: Change) -> None:
        """Take up the prompts after a change; the viewer goes to their plane."""
        prompts = change.prompts_after
        if prompts is None:
            return
        if prompts.plane is not None and not prompts.is_empty:
            self.objects.show_plane(self.image, prompts.plane)
        if prompts.plane is not None and prompts.label_id is not None:
            self._reopened[prompts.plane] = prompts.label_id
        self._reset(prompts)
        self.prompts_restored.emit(prompts)

    def _reset(self, prompts: ObjectPrompts) -> None:
        self.prompts = prompts
        if prompts.plane is not None and prompts.label_id is None:
            self._reopened.pop(prompts.plane, None)
        self._answer, self._candidate = None, None
        self._serial += 1
        self._show()

    def _predicted(self, kind: str | None) -> str | None:
        if kind is not None and not self.prompts.is_empty:
            self.predict()
        return kind

    def _forget(self, event: object = None) -> None:  # noqa: ARG002
        self.looks.forget()
        self._reset(ObjectPrompts())

    def _show(self) -> None:
        """Put the shown candidate into the preview layer, or nothing."""
        plane = None if self._answer is None else self._answer.request.plane
        self.overlays.show(self.prediction, self.candidate, plane)
        self.shown.emit()
