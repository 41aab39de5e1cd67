"""What committing a mask changes, as a value."""

from __future__ import annotations

import dataclasses

from napari_sam.viewer.entries import EntryChange, ObjectEntry, ObjectPrompts, ObjectTable, utc_now
from napari_sam.viewer.history import Change
from napari_sam.viewer.labels_output import LabelsOutput
from napari_sam.viewer.layers import Plane
from napari_sam.viewer.requests import PredictAnswer


def committable(
    answer: PredictAnswer | None, candidate: int, prompts: ObjectPrompts, plane: Plane
) -> PredictAnswer:
    """Return the answer to commit on the shown plane.

    Raises
    ------
    ValueError
        If there is none, it is not for these prompts or this plane, or its mask is empty.
    """
    if answer is None or answer.prediction is None:
        raise ValueError("There is no mask to commit; add a point or a box first")
    if answer.request.plane != plane:
        raise ValueError("The mask belongs to another slice; go back to it, or predict again")
    if answer.request.asked != prompts:
        raise ValueError("The last prompt is not answered yet; predict first, or wait")
    if not answer.prediction.patches[candidate].any():
        raise ValueError("The mask is empty; add a point in the object, or a box around it")
    return answer


def commit_change(
    output: LabelsOutput,
    table: ObjectTable,
    answer: PredictAnswer,
    candidate: int,
    *,
    label_id: int | None,
    overlap: str,
    category: str = "",
) -> tuple[int, Change]:
    """Return the label and what committing a candidate changes.

    Parameters
    ----------
    output, table
        Where the object goes.
    answer, candidate
        The mask.
    label_id : int or None
        The object's label; None takes that of a reopened object, else the next free one.
    overlap : str
        What happens to pixels of other objects: ``"keep"`` leaves them alone, ``"overwrite"`` takes
        them, ``"background"`` writes only where nothing is labelled.
    category : str
        The object's class; an object that is known keeps its own where this is empty.

    Raises
    ------
    ValueError
        If other objects cover the mask wholly, or the layer cannot be written.
    """
    prediction, asked = answer.prediction, answer.request.asked
    if prediction is None:
        raise ValueError("There is no mask to commit; add a point or a box first")
    plane, mask = answer.request.plane, prediction.patches[candidate]
    value = label_id or asked.label_id or output.next_label()
    output.take(value)
    before = table.entries.get(value)
    replaced = None
    if value == asked.label_id:
        anywhere = tuple((0, int(length)) for length in output.made().data.shape)
        replaced = anywhere if before is None else before.bounds
    bounds, patch = output.mask_patch(
        plane, mask, prediction.corner, value, overlap=overlap, replaced=replaced
    )
    entry = ObjectEntry(
        label_id=value,
        bounds=bounds,
        prompts=dataclasses.replace(asked, label_id=None),
        category=category or (before.category if before is not None else ""),
        model=answer.embedding.model_name,
        candidate=candidate,
        predicted_iou=float(prediction.predicted_iou[candidate]),
        area=int(mask.sum()),
        time=utc_now(),
        annotated=(plane.index,),
    )
    if before is not None:
        entry = dataclasses.replace(
            entry.covering(before.bounds),
            annotated=tuple(dict.fromkeys((*before.annotated, plane.index))),
            stops=tuple(index for index in before.stops if index != plane.index),
        )
    change = Change(
        kind="commit",
        prompts_before=asked,
        prompts_after=ObjectPrompts(plane=plane),
        patches=() if patch is None else (patch,),
        entries=(EntryChange(before, entry),),
    )
    return value, change
