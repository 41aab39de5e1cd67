"""OME-Zarr metadata: what a group says about its image, and what a labels group has to say.

Both ways are plain dictionaries, as in the standard (0.4 in zarr v2, 0.5 in zarr v3): no reader or
writer library is needed. Consolidated metadata is neither read nor written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OME_VERSION = "0.5"
AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


class OmeMetadataError(ValueError):
    """The OME-Zarr metadata of a group is missing or cannot be understood."""


@dataclass(frozen=True, kw_only=True)
class OmeLevel:
    """One level of a pyramid.

    Attributes
    ----------
    path : str
        The level's array, relative to its group.
    scale, translation : tuple of float
        World size of a pixel and world position of the first pixel's centre, per axis.
    """

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class OmeImage:
    """What the metadata of an OME-Zarr image says.

    Attributes
    ----------
    axes : tuple of str
        Names among ``t``, ``c``, ``z``, ``y``, ``x``, in stored order.
    units : tuple of str or None
        Unit of each axis.
    levels : tuple of OmeLevel
        From the finest to the coarsest.
    channel_names : tuple of str
        Names of the channels, where the group has them; else empty.
    """

    axes: tuple[str, ...]
    units: tuple[str | None, ...]
    levels: tuple[OmeLevel, ...]
    channel_names: tuple[str, ...] = ()

    def level(self, wanted: int | str) -> OmeLevel:
        """Return a level by its index (0 is the finest) or by its path.

        Raises
        ------
        ValueError
            If there is no such level; the message lists the levels.
        """
        paths = [level.path for level in self.levels]
        if isinstance(wanted, str) and wanted in paths:
            return self.levels[paths.index(wanted)]
        if not isinstance(wanted, str) and 0 <= wanted < len(paths):
            return self.levels[wanted]
        raise ValueError(
            f"level must be an index from 0 to {len(paths) - 1} or one of the paths {paths}, "
            f"got {wanted!r}"
        )


def ome_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the OME part of a group's attributes: under ``ome`` in 0.5, at the top in 0.4."""
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, Mapping) else {}


def has_multiscales(attributes: Mapping[str, Any]) -> bool:
    """Tell whether the attributes of a group are those of an OME-Zarr image."""
    return bool(ome_attributes(attributes).get("multiscales"))


def parse_multiscales(attributes: Mapping[str, Any]) -> OmeImage:
    """Read the first multiscales entry of a group's attributes (OME-Zarr 0.4 or 0.5).

    Parameters
    ----------
    attributes : mapping
        All attributes of the zarr group.

    Raises
    ------
    OmeMetadataError
        If axes or datasets are missing, or are not those of an image.
    """
    ome = ome_attributes(attributes)
    multiscales = ome["multiscales"][0]
    axes, units = _parse_axes(multiscales.get("axes"))
    datasets = multiscales.get("datasets")
    if not datasets:
        raise OmeMetadataError("multiscales must list at least one dataset, got none")
    whole = _parse_transforms(multiscales.get("coordinateTransformations"), len(axes))
    levels = tuple(_parse_level(dataset, whole, len(axes)) for dataset in datasets)
    channels = ome.get("omero", {}).get("channels", [])
    names = tuple(str(channel.get("label", index)) for index, channel in enumerate(channels))
    return OmeImage(axes=axes, units=units, levels=levels, channel_names=names)


def label_attributes(
    name: str,
    axes: Sequence[str],
    units: Sequence[str | None],
    levels: Sequence[OmeLevel],
    *,
    image: str | None = None,
) -> dict[str, Any]:
    """Return the attributes of an OME-Zarr 0.5 label image.

    Parameters
    ----------
    name : str
        Name of the label image.
    axes : sequence of str
        Axis names in stored order.
    units : sequence of str or None
        Unit of each axis; None leaves it out.
    levels : sequence of OmeLevel
        From the finest to the coarsest.
    image : str, optional
        Path of the image that the labels are of, from the label image on.
    """
    multiscales = {
        "name": name,
        "axes": [_axis(axis, unit) for axis, unit in zip(axes, units, strict=True)],
        "datasets": [_dataset(level) for level in levels],
    }
    label: dict[str, Any] = {} if image is None else {"source": {"image": image}}
    return {"ome": {"version": OME_VERSION, "multiscales": [multiscales], "image-label": label}}


def labels_group_attributes(names: Sequence[str]) -> dict[str, Any]:
    """Return the attributes of the ``labels`` group that holds the named label images."""
    return {"ome": {"version": OME_VERSION, "labels": list(names)}}


def label_names(attributes: Mapping[str, Any]) -> list[str]:
    """Return the names that a ``labels`` group lists."""
    return [str(name) for name in ome_attributes(attributes).get("labels", [])]


def _parse_axes(axes: Any) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    if not isinstance(axes, list) or not all(isinstance(axis, dict) for axis in axes):
        raise OmeMetadataError(
            "multiscales must have axes with names, as OME-Zarr 0.4 and 0.5 do, "
            f"got axes = {axes!r}; pass the path of one level's array instead"
        )
    names = tuple(str(axis.get("name", "")).lower() for axis in axes)
    known = all(name in AXIS_TYPES for name in names) and len(set(names)) == len(names)
    if not known or not {"y", "x"} <= set(names):
        raise OmeMetadataError(
            f"axes must be y and x with any of t, c, z, got {', '.join(names)}; "
            "pass the path of one level's array instead"
        )
    units = tuple(str(axis["unit"]) if axis.get("unit") else None for axis in axes)
    return names, units


def _parse_level(
    dataset: Mapping[str, Any],
    whole: tuple[tuple[float, ...], tuple[float, ...]],
    n_axes: int,
) -> OmeLevel:
    """Compose a dataset's transforms with those of the whole image, which come after them."""
    scale, translation = _parse_transforms(dataset.get("coordinateTransformations"), n_axes)
    whole_scale, whole_translation = whole
    return OmeLevel(
        path=str(dataset["path"]),
        scale=tuple(s * w for s, w in zip(scale, whole_scale, strict=True)),
        translation=tuple(
            t * s + w for t, s, w in zip(translation, whole_scale, whole_translation, strict=True)
        ),
    )


def _parse_transforms(transforms: Any, n_axes: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    scale, translation = (1.0,) * n_axes, (0.0,) * n_axes
    for transform in transforms or []:
        kind = transform.get("type")
        if kind == "scale":
            scale = _parse_vector(transform, "scale", n_axes)
        elif kind == "translation":
            translation = _parse_vector(transform, "translation", n_axes)
        elif kind != "identity":
            raise OmeMetadataError(
                f"coordinateTransformations must be scale or translation, got {kind!r}; "
                "pass the path of one level's array instead"
            )
    return scale, translation


def _parse_vector(transform: Mapping[str, Any], key: str, n_axes: int) -> tuple[float, ...]:
    values = transform.get(key)
    if not isinstance(values, list) or len(values) != n_axes:
        raise OmeMetadataError(
            f"{key} must be a list of one number per axis ({n_axes}), got {values!r}; "
            "pass the path of one level's array instead"
        )
    return tuple(float(value) for value in values)


def _axis(name: str, unit: str | None) -> dict[str, str]:
    axis = {"name": name, "type": AXIS_TYPES[name]}
    return axis if unit is None else {**axis, "unit": unit}


def _dataset(level: OmeLevel) -> dict[str, Any]:
    transforms: list[dict[str, Any]] = [{"type": "scale", "scale": list(level.scale)}]
    if any(level.translation):
        transforms.append({"type": "translation", "translation": list(level.translation)})
    return {"path": level.path, "coordinateTransformations": transforms}
