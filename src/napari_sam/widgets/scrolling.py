"""A page of a dock that scrolls where the window is too low for it."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QScrollArea, QWidget

_LEAST_HEIGHT = 260
"""Pixels; less is seen of a page only by scrolling all the time."""


class Scrolling(QScrollArea):
    """Scrolls a page up and down; it is never narrower than the page.

    Parameters
    ----------
    page : QWidget
        With its layout.
    least_width : int
        What the page may come to need, pixels.
    """

    def __init__(self, page: QWidget, least_width: int = 0) -> None:
        super().__init__()
        self._page = page
        self.least_width = least_width
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(page)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the page's width and the bar's beside it, and some of the page's height."""
        bar, page = self.verticalScrollBar(), self._page.minimumSizeHint()
        beside = bar.sizeHint().width() if bar else 0
        width = max(page.width(), self.least_width) + beside
        return QSize(width, min(page.height(), _LEAST_HEIGHT))

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return what the page would take without scrolling, so that docks beside leave it room."""
        return QSize(self.minimumSizeHint().width(), self._page.sizeHint().height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """See Qt; a page that is laid out anew, as in another style, has another width."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
