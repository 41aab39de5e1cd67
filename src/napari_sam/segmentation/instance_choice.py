"""Which of all masks that may be objects are objects: the best rated that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.evidence import Rate
from napari_sam.segmentation.instance_evidence import measure_instances
from napari_sam.segmentation.instance_tree import Hypothesis, Tree, grow_tree, hypotheses
from napari_sam.segmentation.labels import draw_in_order

_LIKELY = 0.3
"""What is rated higher is an object more likely than not; the median is of these."""


def best_instances(
    maps: NDArray[np.float32],
    rate: Rate,
    *,
    diameter: float | None,
    smoothing: float = 0,
    rating_thresh: float = 0.7,
) -> NDArray[np.uint32]:
    """Separate objects by what is learned of good ones.

    Of all nodes of the tree, those are chosen whose ratings, each as far as it is above the least,
    sum to most; none lies in another (dynamic programming, as in Arteta et al. 2012). How high
    ratings are at all depends on the kind of image, so the least is a share of the image's median.

    Parameters
    ----------
    maps : ndarray
        (3, H, W) foreground, closeness to the centre, depth, each 0 ... 1.
    rate : callable
        Rates evidence; see `measure_instances`.
    diameter : float or None
        Of typical objects, pixels; None takes that of what is found.
    smoothing : float
        As in `instances_from_maps`.
    rating_thresh : float
        What is rated less than this share of the median is no object.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n.
    """
    tree, found, evidence = seen_in(maps, diameter=diameter, smoothing=smoothing)
    ratings = rate(evidence) if found else np.zeros(0, np.float32)
    likely = choose(tree, found, ratings, _LIKELY)
    if not likely:
        return np.zeros(maps.shape[1:], np.uint32)
    least = rating_thresh * float(np.median(ratings[likely]))
    patches = [found[index].patch for index in choose(tree, found, ratings, least)]
    patches.sort(key=lambda one: -one.area)
    return draw_in_order(patches, maps.shape[1:])


def seen_in(
    maps: NDArray[np.float32], *, diameter: float | None, smoothing: float
) -> tuple[Tree, list[Hypothesis], NDArray[np.float32]]:
    """Return the tree of maps, all that may be objects, and what is known of them (N, F)."""
    tree = grow_tree(maps, diameter=diameter or 0.0, smoothing=smoothing)
    found = list(hypotheses(tree, maps[0]))
    usual = diameter or 2 * float(np.sqrt(tree.usual_area / np.pi))
    return tree, found, measure_instances(found, tree, maps, usual)


def choose(
    tree: Tree, found: Sequence[Hypothesis], ratings: NDArray[np.float32], least: float
) -> list[int]:
    """Choose masks of which none is a part of another, by index; see `best_instances`."""
    best: dict[int, int] = {}
    for index, one in enumerate(found):
        if one.node not in best or ratings[index] > ratings[best[one.node]]:
            best[one.node] = index
    worth = [0.0] * len(tree.nodes)
    whole = [False] * len(tree.nodes)
    for node, (*_, children) in enumerate(tree.nodes):
        parts = sum(worth[child] for child in children)
        own = float(ratings[best[node]]) - least if node in best else 0.0
        whole[node], worth[node] = own > parts, max(own, parts)
    chosen, looked_at = [], tree.roots
    while looked_at:
        node = looked_at.pop()
        if whole[node]:
            chosen.append(best[node])
        else:
            looked_at.extend(tree.nodes[node].children)
    return chosen
