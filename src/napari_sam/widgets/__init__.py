"""The docks. Loaded on first use, so that the manifest's commands cost nothing at start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam.widgets.everything import EverythingWidget
    from napari_sam.widgets.segment import SegmentWidget

__all__ = ["EverythingWidget", "SegmentWidget"]


def __getattr__(name: str) -> object:
    """Load a dock on first use (PEP 562)."""
    if name == "SegmentWidget":
        from napari_sam.widgets.segment import SegmentWidget

        return SegmentWidget
    if name == "EverythingWidget":
        from napari_sam.widgets.everything import EverythingWidget

        return EverythingWidget
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
