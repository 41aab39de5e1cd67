"""Stacks of layers as sources of volume jobs: by the place of their file where that is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_sam.viewer.layers import Plane, level_0
from napari_sam.volume import VolumeSource, open_source
from napari_sam.volume.stores import location_of

if TYPE_CHECKING:
    from napari.layers import Image

_SIDE = 256
"""Rows and columns that are compared to tell channels apart."""
_PLACES = ((0.5, 0.5), (0.15, 0.35), (0.7, 0.2))
"""Where in a slice, shares of its height and width: mirrored or turned, they are others."""
_MOST_PIXELS = 2**24
"""Of slices that are compared as a whole where the windows are empty."""
_SLICES = 9
_UNKNOWN_UNIT = "pixel"
_MOST_CHANNELS = 64


@dataclass(frozen=True, kw_only=True)
class Picks:
    """What is chosen of a file, with the names and defaults of `VolumeConfig`."""

    channel: int | None = None
    time: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """The stack (Z, Y, X) that a layer shows, taken on the main thread without reading a pixel.

    Attributes
    ----------
    source : VolumeSource
        The layer's array.
    places : tuple of str
        Paths or URLs that the array may come from.
    leading : tuple of int
        Where the viewer stands on the axes before z.
    z : int
        The slice it shows.
    name : str
        The layer's name, which may be a channel's.
    """

    source: VolumeSource
    places: tuple[str, ...]
    leading: tuple[int, ...]
    z: int
    name: str

    def open(self) -> tuple[VolumeSource, Picks]:
        """Open the stack by the place of its file, so that any other process can do so, too.

        Reads a few windows of the file and of the layer, and takes the file only if they are equal:
        a layer may have been changed since it was opened. Slow: not for the GUI thread.

        Returns
        -------
        source : VolumeSource
            With a location; or the layer's array as it is, without one.
        picks : Picks
            The channel and the time point that are shown.
        """
        for place in self.places:
            found = self._in_file(place)
            if found is not None:
                return found
        return self.source, Picks()

    def placement(self, opened: VolumeSource) -> dict[str, Any]:
        """Return what settings must say of where the stack lies: what the layer says, not the file.

        Nothing where the file says something itself, or is not taken.
        """
        own = self.source
        nowhere = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
        if opened.location is None or (opened.scale, opened.translation) != nowhere:
            return {}
        said: dict[str, Any] = {}
        if (own.scale, own.translation) != nowhere:
            said = {"voxel_size": own.scale, "origin": own.translation}
        if len(set(own.units)) == 1 and own.units[0] not in (_UNKNOWN_UNIT, opened.units[0]):
            said["unit"] = own.units[0]
        return said

    def _in_file(self, place: str) -> tuple[VolumeSource, Picks] | None:
        """Find the stack in a file."""
        for picks in self._told():
            source = self._opened(place, picks)
            if source is not None and self._shows(source):
                return source, picks
        for time in self._times():
            found = self._channel(place, time)
            if found is not None:
                return found
        return None

    def _channel(self, place: str, time: int | None) -> tuple[VolumeSource, Picks] | None:
        """Find the channel that the layer shows; of several alike, the one of its name."""
        matches: list[tuple[VolumeSource, Picks]] = []
        for channel in range(_MOST_CHANNELS):
            picks = Picks(channel=channel, time=time)
            source = self._opened(place, picks)
            if source is None:
                break
            if self._shows(source):
                matches.append((source, picks))
        if len(matches) < 2:
            return matches[0] if matches else None
        try:
            named = open_source(place, channel=self.name, time=time)
        except (OSError, ValueError):
            return None
        return next((match for match in matches if match[0].picks == named.picks), None)

    def _told(self) -> Iterator[Picks]:
        """Yield the choices that the viewer's sliders name, the shortest first."""
        channels = [None, *self.leading[-1:]]
        for time, channel in itertools.product(self._times(), channels):
            yield Picks(channel=channel, time=time)

    def _times(self) -> list[int | None]:
        return [None, *self.leading[:1]]

    def _opened(self, place: str, picks: Picks) -> VolumeSource | None:
        """Open a file; None if it has no such choice, or cannot be read by us."""
        try:
            source = open_source(place, channel=picks.channel, time=picks.time)
        except (OSError, TypeError, ValueError):
            return None
        return source

    def _shows(self, other: VolumeSource) -> bool:
        """Tell whether another source has the same pixels, as far as a few windows tell.

        Where there is nothing in them, more slices are looked at as a whole; large ones are not,
        and then the other source is not taken for the same.
        """
        own = self.source
        if (own.shape, own.dtype, own.is_rgb) != (other.shape, other.dtype, other.is_rgb):
            return False
        depth, *plane = own.shape
        steps = sorted({0, depth // 2, self.z})
        alike = self._compared(other, steps, [_window(plane, place) for place in _PLACES])
        if alike is None and plane[0] * plane[1] <= _MOST_PIXELS:
            more = np.linspace(0, depth - 1, _SLICES).astype(int).tolist()
            whole = slice(0, plane[0]), slice(0, plane[1])
            return self._compared(other, sorted({self.z, *more}), [whole]) is not False
        return bool(alike)

    def _compared(
        self, other: VolumeSource, steps: list[int], windows: list[tuple[slice, slice]]
    ) -> bool | None:
        """Tell whether windows of both sources are equal; None where there is nothing in any."""
        alike = None
        for z, window in itertools.product(steps, windows):
            pixels = self.source.read(z, window)
            if not np.array_equal(pixels, other.read(z, window)):
                return False
            if pixels.min() < pixels.max():
                alike = True
        return alike


def _window(plane: list[int], place: tuple[float, float]) -> tuple[slice, slice]:
    """Return the rows and columns of a part of a slice (Y, X) whose middle is at a place."""
    rows, cols = (
        slice(start, start + _SIDE)
        for length, share in zip(plane, place, strict=True)
        for start in [max(0, min(round(share * length) - _SIDE // 2, length - _SIDE))]
    )
    return rows, cols


def take_stack(image: Image, plane: Plane) -> Stack:
    """Take a layer's stack as it is shown.

    Raises
    ------
    ValueError
        If the layer is no stack, or the viewer shows another plane than the last two axes.
    """
    source = stack_source(image, plane)
    array = level_0(image)
    told = (image.source.path, _place_of(array))
    return Stack(
        source=source,
        places=tuple(dict.fromkeys(place for place in told if place)),
        leading=_leading(image, plane),
        z=plane.index[image.ndim - 3] or 0,
        name=image.name,
    )


def stack_source(image: Image, plane: Plane) -> VolumeSource:
    """Return a layer's stack (Z, Y, X) as the source of a volume job, read slice by slice.

    Time and other axes before z stay where the viewer stands.

    Raises
    ------
    ValueError
        If the layer is no stack, or the viewer shows another plane than the last two axes.
    """
    ndim = image.ndim
    if ndim < 3:
        raise ValueError(f"Layer {image.name!r} has no slices; use 'This slice'")
    if plane.axes != (ndim - 2, ndim - 1):
        raise ValueError("A stack is segmented along its first axis: show the last two axes")
    array = level_0(image)
    leading = _leading(image, plane)
    if leading and not isinstance(array, np.ndarray):
        import dask.array as da

        array = array if isinstance(array, da.Array) else da.from_array(array, name=False)
    units = [str(unit) for unit in image.units[-3:]]
    origin, steps = _axes_in_world(image)
    return VolumeSource(
        array=array[leading] if leading else array,
        stored_axes=("z", "y", "x", "c") if image.rgb else ("z", "y", "x"),
        scale=_triple(steps),
        translation=_triple(origin),
        units=(units[0], units[1], units[2]),
    )


def _leading(image: Image, plane: Plane) -> tuple[int, ...]:
    return tuple(index or 0 for index in plane.index[: image.ndim - 3])


def _place_of(array: Any) -> str | None:
    """Return the place of a zarr array, or of the one zarr array that a dask array reads."""
    if isinstance(array, zarr.Array):
        return location_of(array)
    layers = getattr(getattr(array, "dask", None), "layers", {})
    stored = [
        value
        for layer in layers.values()
        if len(layer) == 1
        for value in layer.values()
        if isinstance(value, zarr.Array)
    ]
    return location_of(stored[0]) if len(stored) == 1 else None


def _axes_in_world(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where a layer's first pixel lies, and how far apart pixels are along each axis.

    In the layer's own units, all of its transforms taken together; a rotation is left aside, which
    OME-Zarr cannot say.
    """
    corners = np.vstack([np.zeros(image.ndim), np.eye(image.ndim)])
    origin, *ends = (np.asarray(image.data_to_world(corner), np.float64) for corner in corners)
    return origin, np.linalg.norm(np.array(ends) - origin, axis=1)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    z, row, col = (float(value) for value in values[-3:])
    return z, row, col
