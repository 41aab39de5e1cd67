"""What the network's own instance decoder sees under prompts, as masks that answers begin from.

In use, a first click or a box is answered once more from such a hint
(`napari_sam.segmentation.instance_hints`). Here the mask decoder learns how far to trust it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from napari_sam.model.sam import PromptBatch
from napari_sam.segmentation.instance_hints import Instances, as_logits
from napari_sam.training.batch import Batch


def seen_instances(maps: Tensor) -> list[Instances]:
    """Separate the objects of each view from the instance decoder's logits (V, 3, S, S)."""
    values = maps.detach().sigmoid().cpu().numpy()
    with ThreadPoolExecutor() as threads:
        return list(threads.map(Instances.of_maps, values))


def hint_logits(
    seen: Sequence[Instances], prompts: PromptBatch, batch: Batch, part: Tensor
) -> Tensor:
    """Return what is seen under the first prompts of some of a batch's objects.

    Parameters
    ----------
    seen : sequence of Instances
        Of each view.
    prompts : PromptBatch
        A point or a box for each object, in pixels of its window.
    batch : Batch
        Views and objects.
    part : Tensor
        (B,) indices of the objects.

    Returns
    -------
    Tensor
        (B, 1, 4 w, 4 w) logits of the hints in the objects' windows; where nothing is seen, of
        an empty mask.
    """
    given = prompts.points if prompts.boxes is None else prompts.boxes.unflatten(1, (2, 2))
    if given is None:
        raise ValueError("A hint needs a point or a box")
    corners = batch.object_windows[part] * batch.stride
    places = (given.flip(-1) + corners[:, None]).cpu().numpy()
    side = batch.window * batch.stride
    shown = []
    for place, view, (top, left) in zip(
        places, batch.object_images[part].tolist(), corners.tolist(), strict=True
    ):
        instances = seen[view]
        if prompts.boxes is None:
            label = instances.at(*place[0].tolist())
        else:
            label, _ = instances.fitting(place.ravel())
        window = slice(top, top + side), slice(left, left + side)
        shown.append(as_logits(instances.mask(label, window) & (label > 0), batch.stride // 4))
    return torch.from_numpy(np.stack(shown))[:, None].to(batch.object_masks.device)
