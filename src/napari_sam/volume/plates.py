"""Groups that hold images without being one: plates, wells, containers of several images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import zarr

from napari_sam.volume.ome import OmeMetadataError, has_multiscales, ome_attributes

_LAYOUT = "bioformats2raw.layout"
_LISTED = 12


def image_group(group: zarr.Group, name: str) -> zarr.Group:
    """Return the image that a group is, or the only one that it has.

    Parameters
    ----------
    group : zarr.Group
        An image, a well with one field, or a bioformats2raw container with one series.
    name : str
        What errors call the group.

    Returns
    -------
    zarr.Group
        A group that has multiscales.

    Raises
    ------
    OmeMetadataError
        If there are several images, of which the error tells the paths, or none.
    """
    attributes = group.attrs.asdict()
    if has_multiscales(attributes):
        return group
    ome = ome_attributes(attributes)
    if "plate" in ome:
        wells = _paths(ome["plate"], "wells")
        raise OmeMetadataError(
            f"{name!r} is a plate, not an image; add a well and a field to the path, as in "
            f"{f'{wells[0]}/0' if wells else 'A/1/0'!r}; its wells are {_listing(wells)}"
        )
    if "well" in ome:
        return _only_one(group, _paths(ome["well"], "images"), name, "a well", "fields")
    if _LAYOUT in ome or _LAYOUT in attributes:
        return _only_one(group, _series(group), name, "a bioformats2raw container", "series")
    raise OmeMetadataError(
        f"the zarr group {name!r} is not an OME-Zarr image: it has no multiscales; "
        f"it holds {_members(group)}: pass the path of an array or an image in it"
    )


def _only_one(
    group: zarr.Group, paths: Sequence[str], name: str, what: str, parts: str
) -> zarr.Group:
    if len(paths) != 1:
        raise OmeMetadataError(
            f"{name!r} is {what} with {len(paths)} {parts}, not an image; "
            f"add one to the path: {_listing(paths)}"
        )
    image = group.get(paths[0])
    if not isinstance(image, zarr.Group) or not has_multiscales(image.attrs.asdict()):
        raise OmeMetadataError(
            f"{name!r} is {what} that names the image {paths[0]!r}, which is not there; "
            "the store is damaged or incomplete"
        )
    return image


def _series(group: zarr.Group) -> list[str]:
    """Return the series of a container: those it lists, else its groups 0, 1, ..."""
    listing = group.get("OME")
    if isinstance(listing, zarr.Group):
        listed = ome_attributes(listing.attrs.asdict()).get("series")
        if isinstance(listed, list) and listed:
            return [str(path) for path in listed]
    found: list[str] = []
    while isinstance(group.get(str(len(found))), zarr.Group):
        found.append(str(len(found)))
    return found


def _paths(entry: Any, key: str) -> list[str]:
    """Return the paths that a plate or a well lists."""
    items = entry.get(key, []) if isinstance(entry, Mapping) else []
    return [str(item["path"]) for item in items if isinstance(item, Mapping) and "path" in item]


def _listing(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    return (", ".join(paths[:_LISTED]) or "nothing") + more


def _members(group: zarr.Group) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about files that are not part of the hierarchy
        return _listing(sorted(key for key, _ in group.members()))
