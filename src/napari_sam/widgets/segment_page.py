"""What the dock "Segment" is made of: a page that scrolls, and under it what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sam.widgets.candidates import CandidateButtons
from napari_sam.widgets.choosers import LayerChooser
from napari_sam.widgets.handing_back import HandingBack
from napari_sam.widgets.hovering import Hovering
from napari_sam.widgets.job_bar import JobBar
from napari_sam.widgets.models import ModelBox
from napari_sam.widgets.output_box import OutputBox
from napari_sam.widgets.prompt_board import PromptBoard
from napari_sam.widgets.scrolling import Scrolling

if TYPE_CHECKING:
    from napari_sam.viewer.session import Session
    from napari_sam.widgets.live import LatestWins

_STATUS_LINES = 3
_MARGIN = 11


class SegmentPage:
    """Lays out the parts of a dock; a low window hides some of them, never what the dock says.

    Parameters
    ----------
    dock : QWidget
        Where they are put.
    viewer : ViewerModel
        Whose layers.
    live : LatestWins
        Answers the preview under the cursor.
    image : callable
        Returns the image that prompts are for, or None.
    session : callable
        Returns the session, or None.
    """

    def __init__(
        self,
        dock: QWidget,
        viewer: Any,
        live: LatestWins,
        image: Callable[[], Image | None],
        session: Callable[[], Session | None],
    ) -> None:
        page = QWidget()
        self.image = LayerChooser(viewer, (Image,), parent=page)
        self.image.setToolTip("The image that is segmented")
        self.models = ModelBox(page)
        self.hovering = Hovering(live, session, page)
        self.prompts = PromptBoard(viewer, image, page)
        self.candidates = CandidateButtons(page)
        self.output = OutputBox(viewer, self.image, page)
        self.all_keys = QPushButton("Keys ...")
        self.all_keys.setToolTip("All keys of this dock, to look up and to change")
        self.anew = QPushButton("Start over")
        self.anew.setToolTip("Put aside what was done to this image, and begin anew")
        self.job_bar = JobBar(dock)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(_STATUS_LINES * self.status.fontMetrics().lineSpacing())
        self._lay_out(dock, page)
        HandingBack(dock)

    def _lay_out(self, dock: QWidget, page: QWidget) -> None:
        layout = QVBoxLayout(page)
        top = QFormLayout()
        top.addRow("Image", self.image)
        layout.addLayout(top)
        for part in (self.models, self.hovering, self.prompts, self.candidates, self.output):
            layout.addWidget(part)
        line = QHBoxLayout()
        line.addWidget(self.all_keys)
        line.addWidget(self.anew)
        layout.addLayout(line)
        layout.addStretch(1)
        told = QVBoxLayout()
        told.setContentsMargins(_MARGIN, 0, _MARGIN, _MARGIN)
        told.addWidget(self.job_bar)
        told.addWidget(self.status)
        outer = QVBoxLayout(dock)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(Scrolling(page), 1)
        outer.addLayout(told)
