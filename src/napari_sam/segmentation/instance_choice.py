"""Which of all masks that may be objects are objects: the best rated that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sam.segmentation.evidence import Rate
from napari_sam.segmentation.instance_evidence import measure_instances
from napari_sam.segmentation.instance_tree import Hypothesis, Tree, grow_tree, hypotheses
from napari_sam.segmentation.instances import consecutive


def best_instances(
    maps: NDArray[np.float32],
    rate: Rate,
    *,
    diameter: float | None,
    smoothing: float = 0,
    least_rating: float = 0.45,
) -> NDArray[np.uint32]:
    """Separate objects by what is learned of good ones.

    Of all nodes of the tree, those are chosen whose ratings, each as far as it is above the least,
    sum to most; none lies in another (dynamic programming, as in Arteta et al. 2012).

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
    least_rating : float
        What is expected to agree less with an object is none.

    Returns
    -------
    ndarray
        (H, W) uint32, ids 1 ... n.
    """
    tree, found, evidence = seen_in(maps, diameter=diameter, smoothing=smoothing)
    labels = np.zeros(maps.shape[1:], np.uint32)
    if not found:
        return labels
    chosen = choose(tree, found, rate(evidence).tolist(), least_rating)
    chosen.sort(key=lambda one: -one.patch.area)
    for label, one in enumerate(chosen, start=1):
        labels[one.patch.slices][one.patch.mask] = label
    return consecutive(labels)


def seen_in(
    maps: NDArray[np.float32], *, diameter: float | None, smoothing: float
) -> tuple[Tree, list[Hypothesis], NDArray[np.float32]]:
    """Return the tree of maps, all that may be objects, and what is known of them (N, F)."""
    tree = grow_tree(maps, diameter=diameter or 0.0, smoothing=smoothing)
    found = list(hypotheses(tree, maps[0]))
    usual = diameter or 2 * float(np.sqrt(tree.usual_area / np.pi))
    return tree, found, measure_instances(found, tree, maps, usual)


def choose(
    tree: Tree, found: Sequence[Hypothesis], ratings: Sequence[float], least: float
) -> list[Hypothesis]:
    """Choose masks of which none is a part of another; see `best_instances`."""
    best: dict[int, int] = {}
    for index, one in enumerate(found):
        if one.node not in best or ratings[index] > ratings[best[one.node]]:
            best[one.node] = index
    worth = [0.0] * len(tree.nodes)
    whole = [False] * len(tree.nodes)
    for node, (*_, children) in enumerate(tree.nodes):
        parts = sum(worth[child] for child in children)
        own = ratings[best[node]] - least if node in best else 0.0
        whole[node], worth[node] = own > parts, max(own, parts)
    chosen, open_nodes = [], tree.roots
    while open_nodes:
        node = open_nodes.pop()
        if whole[node]:
            chosen.append(found[best[node]])
        else:
            open_nodes.extend(tree.nodes[node].children)
    return chosen
