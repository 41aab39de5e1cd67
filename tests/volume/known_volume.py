"""A volume of known objects, and a segmenter that knows them and errs as real ones do."""

import numpy as np

SHAPE = (300, 160, 160)
_SIDE = 23  # of the lattice on which the objects stand; most touch their neighbours
_RIM = 15  # half the side of the window an object is drawn in


def known_objects(seed):
    """Draw tilted ellipsoids that touch each other, (Z, Y, X) uint16 with ids 1 ... n."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(SHAPE, np.uint16)
    nearest = np.full(SHAPE, 1.0, np.float32)
    count = 0
    for row in range(_SIDE // 2 + 2, SHAPE[1] - _RIM, _SIDE):
        for col in range(_SIDE // 2 + 2, SHAPE[2] - _RIM, _SIDE):
            bottom = int(rng.integers(0, 12))
            while bottom + 16 < SHAPE[0]:
                height = int(rng.integers(16, 40))
                count += 1
                _draw(truth, nearest, count, (bottom, height, row, col), rng)
                bottom += height + int(rng.integers(2, 5))
    return truth


def _draw(truth, nearest, number, place, rng):
    """Draw an ellipsoid; pixels go to the object whose centre is nearer, in radii."""
    bottom, height, row, col = place
    radii, drift = rng.uniform(8, 13, 2), rng.uniform(-0.08, 0.08, 2)
    offset = rng.uniform(-2, 2, 2)
    ticks = np.arange(-_RIM, _RIM + 1)
    for z in range(bottom, min(bottom + height, SHAPE[0])):
        along = (z - bottom + 0.5) / height * 2 - 1
        size = 1 - along**4
        shift = offset + drift * (z - bottom - height / 2)
        rows, cols = (
            (ticks - move) ** 2 / radius**2 for move, radius in zip(shift, radii, strict=True)
        )
        distance = (rows[:, None] + cols[None]) / size
        window = (z, *(slice(max(mid - _RIM, 0), mid + _RIM + 1) for mid in (row, col)))
        part = distance[-truth[window].shape[0] :, -truth[window].shape[1] :]
        nearer = part < nearest[window]
        truth[window][nearer] = number
        nearest[window][nearer] = part[nearer]


def with_errors(truth, seed):
    """Return what a segmenter sees of the objects: ids of one plane, whatever the next one's.

    Half of the objects vanish for a slice; half are seen in two pieces in one; and of every fifth a
    neighbour that it touches is taken for a part of it, in one slice. Of an object's own errors
    no two stand in neighbouring slices: that would be a gap of two slices.
    """
    rng = np.random.default_rng(seed)
    seen, count = truth.copy(), int(truth.max())
    extents = {}
    for z, plane in enumerate(truth):
        for number in np.unique(plane[plane > 0]).tolist():
            extents.setdefault(number, []).append(z)
    for number, slices in extents.items():
        vanishes, splits, merges = rng.choice(slices[4:-4:3], 3, replace=False).tolist()
        kinds = rng.random(3)
        if kinds[0] < 0.5:
            seen[vanishes][seen[vanishes] == number] = 0
        if kinds[1] < 0.5:
            rows, cols = np.nonzero(seen[splits] == number)
            right = cols > (cols.min(initial=SHAPE[2]) + cols.max(initial=0)) // 2
            count += 1
            seen[splits][rows[right], cols[right]] = count
        if kinds[2] < 0.2:
            plane = truth[merges]
            touching = plane[:, 1:][(plane[:, :-1] == number) & (plane[:, 1:] > 0)]
            others = np.unique(touching[touching != number])
            if others.size:
                seen[merges][seen[merges] == others[0]] = number
    return seen
