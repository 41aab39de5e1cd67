"""The dock "Segment": from the cursor to a finished object without leaving the image."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QShowEvent

from napari_sam.viewer.layers import plane_in_view, shown_plane
from napari_sam.viewer.napari_private import unwrapped
from napari_sam.widgets.click_hint import ClickHint
from napari_sam.widgets.closing_dock import ClosingDock
from napari_sam.widgets.dock_keys import DockKeys
from napari_sam.widgets.live import LatestWins
from napari_sam.widgets.resting import Resting
from napari_sam.widgets.segment_page import SegmentPage
from napari_sam.widgets.session_jobs import SessionJobs, close_journals
from napari_sam.widgets.words import INVITATION, NO_IMAGE, READY, answered, is_of_an_answer
from napari_sam.widgets.workers import Runner, report_error

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_sam.viewer.entries import ObjectPrompts
    from napari_sam.viewer.layers import Plane
    from napari_sam.viewer.requests import PredictAnswer, PredictRequest
    from napari_sam.viewer.session import Session

_PAGES_AHEAD = 2


class SegmentWidget(ClosingDock):
    """Prompt the model by mouse and keys, choose a candidate, commit it as an object.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer that the dock belongs to.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = unwrapped(napari_viewer)
        self._session: Session | None = None
        self._opening = False
        self._closed = False
        self._turbo = False
        self._prompted = False
        self._commit_next: ObjectPrompts | None = None
        self._open_sessions: list[Any] = []
        self._live = LatestWins(("prompt", "hover"), self)
        self._pages = LatestWins(("hovered", "page"), self)
        self._jobs = Runner(self, self.viewer)
        self._resting = Resting(self.viewer, self._look_ahead, self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._collect)
        self._build()
        self.destroyed.connect(functools.partial(close_journals, self._open_sessions))
        self.jobs = SessionJobs(self, self._jobs, self.job_bar, self._say)
        self._hint = ClickHint(self.viewer, self.prompts, self._say, self.status.text, self)
        self.destroyed.connect(self.jobs.opening.forget)
        self._connect()

    # what a script may use, too

    @property
    def session(self) -> Session | None:
        """The session of the chosen image, once a model is loaded."""
        return self._session

    @property
    def busy(self) -> bool:
        """Whether an answer or a job is under way."""
        return self._live.is_asked("prompt") or self._jobs.busy or self._timer.isActive()

    def use_predictor(self, predictor: object) -> None:
        """Use a predictor that was made elsewhere."""
        self.models.use(predictor)

    def commit(self) -> int | None:
        """Commit the shown candidate; returns its label, or None after an error that was told."""
        session = self._session
        if session is None:
            self._say("Add a point or a box first")
            return None
        if self._timer.isActive() or self._closed:
            self._timer.stop()
            self._collect(hidden=True)
        if self._live.is_asked("prompt"):
            self._commit_next = session.prompts
            self._say("Commits when the last prompt is answered ...")
            return None
        try:
            session.labels = self.output.labels.layer
            written = session.commit(
                self.output.label_id.value() or None,
                overlap=self.output.policy,
                category=self.output.category.currentText(),
            )
        except ValueError as error:
            self.jobs.refuse(error)
            return None
        self.show_written(session)
        self._remove_prompts()
        self._say(f"Committed object {written}; Ctrl+Z takes it back")
        return written

    def clear(self) -> None:
        """Drop the prompts on this slice and the preview."""
        self._commit_next = None
        if self._session is not None:
            self._session.clear()
        self._remove_prompts()
        self._say("Cleared")

    def undo(self) -> None:
        """Take back the last prompt, commit, deletion, propagation, ..."""
        self.jobs.stop_carrying()
        kind = None if self._session is None else self._session.take_back()
        self._say("There is nothing to take back" if kind is None else f"Took back: {kind}")

    def redo(self) -> None:
        """Do again what was taken back last."""
        self.jobs.stop_carrying()
        kind = None if self._session is None else self._session.bring_back()
        self._say("There is nothing to do again" if kind is None else f"Did again: {kind}")

    def shut(self) -> None:
        """See `ClosingDock`."""
        self.renew()
        self._timer.stop()
        self.prompts.let_go()
        self.keys.bind_output(None)
        for chooser in (self.image, self.output.labels, self.output.along):
            chooser.detach()
        for listening in (self._live, self._pages, self._resting, self._hint):
            listening.end()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802
        """Leave prompts unanswered while the dock is closed (a minimised window is not)."""
        self._closed = not event.spontaneous()
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Answer what was prompted meanwhile."""
        self._closed = False
        self._schedule()
        super().showEvent(event)

    # building

    def _build(self) -> None:
        page = SegmentPage(self, self.viewer, self._live, self._image, lambda: self._session)
        self.image, self.models, self.hovering = page.image, page.models, page.hovering
        self.prompts, self.candidates, self.output = page.prompts, page.candidates, page.output
        self.all_keys, self.anew = page.all_keys, page.anew
        self.job_bar, self.status = page.job_bar, page.status
        self._invite()

    def _connect(self) -> None:
        self.models.status.connect(self._say)
        self.models.changed.connect(self.renew)
        self.models.failed.connect(lambda: self._opened(None, "The model could not be loaded"))
        self.image.layer_changed.connect(self.renew)
        self.image.activated.connect(lambda _: self.prompts.select())
        self.image.data_replaced.connect(self.jobs.data_replaced)
        self.image.data_replaced.connect(self._schedule)
        self.keys = DockKeys(self, self._actions(), self._peek)
        self.prompts.changed.connect(self._prompts_changed)
        self.prompts.hovered.connect(self.hovering.ask)
        self.prompts.refused.connect(self._say)
        self.hovering.status.connect(self._say)
        self.hovering.unseen.connect(lambda request: self._pages.ask("hovered", request.embed))
        self.prompts.reopened.connect(self.jobs.reopen)
        self.prompts.drawing.connect(self.jobs.draw_gesture)
        self.prompts.wheeled.connect(self._step)
        self.candidates.chosen.connect(self._choose)
        self.output.pressed.connect(lambda name: self._actions()[name]())
        self.output.labels.layer_changed.connect(self._labels_chosen)
        self.all_keys.clicked.connect(lambda _=False: self.keys.show())
        self.anew.clicked.connect(lambda _=False: self.jobs.start_over())
        self._live.answered.connect(self._answered)
        self._live.failed.connect(self._failed)
        self._pages.failed.connect(self._failed)
        self.viewer.dims.events.point.connect(self._schedule)
        self.viewer.dims.events.ndisplay.connect(self._schedule)
        self._labels_chosen(self.output.labels.layer)
        self._schedule()

    def _actions(self) -> dict[str, Callable[[], object]]:
        return {
            "commit": self.commit,
            "drop": self.clear,
            "polarity": self.prompts.toggle_polarity,
            "granularity": lambda: self._step(1),
            "candidate_1": lambda: self._choose(0),
            "candidate_2": lambda: self._choose(1),
            "candidate_3": lambda: self._choose(2),
            "turbo": self._toggle_turbo,
            "undo": self.undo,
            "redo": self.redo,
        } | self.jobs.actions()

    def _labels_chosen(self, labels: Labels | None) -> None:
        """Bind the keys on the Labels layer; it has objects, a history and a journal of its own."""
        self.keys.bind_output(labels)
        if self._session is not None and self._session.labels is not labels:
            self.renew()

    def _peek(self, hidden: bool) -> None:  # noqa: FBT001  a key's callback
        if self._session is not None:
            self._session.peek(hidden=hidden)

    # prompts to prediction

    def _image(self) -> Image | None:
        if self.image.layer is None:
            self._say(NO_IMAGE)
        return self.image.layer

    def _schedule(self, event: object = None) -> None:  # noqa: ARG002
        self._timer.start(0)

    def renew(self, _: object = None) -> None:
        """Close the session; the next click opens another."""
        self._opening, self._commit_next = False, None
        self.jobs.drop()
        if self._session is not None:
            self.jobs.opening.close(self._session)
            self._session = None
            self._open_sessions.clear()
            self._invite()
        elif self.image.layer is None or self.status.text() == NO_IMAGE:
            self._invite()
        self._show_candidates()
        self._schedule()

    def _collect(self, *, hidden: bool = False) -> None:
        """Read the prompt layers; predict, or take the preview away. Not under a hidden dock."""
        image, session = self.image.layer, self._session
        if image is None or (self._closed and not hidden):
            return
        if session is None:
            if self.prompts.has_prompts or self.prompts.point_layer is not None:
                self.open_then(lambda: None)
            return
        request = self._asked(session, image)
        if request is None:
            return
        if request.asked.is_empty:
            session.drop_answer()
            if is_of_an_answer(self.status.text()):
                self._say(READY)
            self._look_ahead()
            return
        if not request.is_embedded:
            self._say("Embedding ...")
        self._live.ask("prompt", request.answer)

    def _asked(self, session: Session, image: Image) -> PredictRequest | None:
        """Take down what is prompted and not answered; None, with a word, where that cannot be."""
        way_out = ""
        try:
            prompts, _ = self.prompts.read(shown_plane(self.viewer, image))
            session.take(prompts)
            if self._commit_next not in (None, session.prompts):
                self._commit_next = None
                self._say("Not committed: the prompts changed before their answer was there")
            if session.is_answered:
                return None
            way_out = "; Escape drops the prompts on this slice"  # as of another image
            return session.snapshot()
        except ValueError as error:
            session.drop_answer()
            self._say(f"{error}{way_out}")
            return None

    def open_then(self, call: Callable[[], object]) -> None:
        """Open a session for the image, then call; nothing happens while one is being opened."""
        if self._opening or self._image() is None:
            return
        self._opening = True

        def opened(session: Session | None) -> None:
            self._opened(session)
            if session is not None:
                call()

        self.models.when_loaded(lambda predictor: self.jobs.opening.start(predictor, opened))

    def _opened(self, session: Session | None, told: str = "") -> None:
        self._opening = False
        if session is None:
            self._say(told)
            return
        self._session = session
        self._open_sessions.append(session)
        QTimer.singleShot(0, lambda: self._prepare(session, session.overlays.prepare))
        QTimer.singleShot(0, lambda: self._prepare(session, session.overlays.prepare_drawing))
        self.output.labels.choose(session.labels)
        session.prompts_restored.connect(self._restored)
        session.shown.connect(self._show_candidates)
        session.objects.changed.connect(self._objects_changed)
        self._objects_changed()
        self._restored(session.prompts, beside=True)

    def _prepare(self, session: Session, make: Callable[[Plane], object]) -> None:
        """Make a layer that will be needed: one in each turn, for napari takes long to add it."""
        plane = plane_in_view(self.viewer, session.image)
        if session is self._session and plane is not None:
            make(plane)

    def _answered(self, kind: str, answer: PredictAnswer, seconds: float) -> None:
        session = self._session
        if session is None or answer.request.predictor is not session.predictor:
            return
        if kind == "hover":
            self.hovering.show_answer(session, answer, seconds)
        elif session.apply(answer):
            self._say(answered(seconds, session.object_diameter))
            turbo = self._turbo and self._prompted
            if (turbo or self._commit_next) and not self._live.is_asked("prompt"):
                self._commit_next, self._prompted = None, False
                self.commit()
            self.prompts.settle()

    def _failed(self, kind: str, error: BaseException) -> None:
        self._commit_next = None if kind == "prompt" else self._commit_next
        report_error(error)

    def _look_ahead(self) -> None:
        """Embed what is shown and the next slices while nothing is asked."""
        session = self._session
        waiting = [] if session is None or self._closed else session.all_ahead(_PAGES_AHEAD)
        if waiting:
            self._pages.ask("page", lambda: [request.embed() for request in waiting][:0])

    def _restored(self, prompts: ObjectPrompts, *, beside: bool = False) -> None:
        """Show prompts that came back, in place of what is there or beside it; answer them."""
        if prompts.plane is not None:
            self.prompts.show_prompts(prompts, beside=beside)
        self._schedule()

    def show_written(self, session: Session) -> None:
        """Choose the layer that was written into."""
        self.jobs.opening.note(session)
        self.output.labels.choose(session.labels)

    def _prompts_changed(self) -> None:
        self._prompted = True
        self._schedule()

    def _remove_prompts(self) -> None:
        """Remove the prompts on this slice from their layers."""
        plane = plane_in_view(self.viewer, self.image.layer)
        if plane is not None:
            self.prompts.remove(plane)

    # gestures and keys

    def _toggle_turbo(self) -> None:
        self._turbo = not self._turbo
        self._say(f"Turbo is {'on: each click commits' if self._turbo else 'off'}")

    def _choose(self, index: int) -> None:
        if self._session is not None and index < len(self._session.prediction or ()):
            self._session.choose(index)

    def _step(self, steps: int) -> None:
        if self._session is not None:
            self._session.step_candidate(steps)

    def _show_candidates(self) -> None:
        session = self._session
        shown = (None, 0) if session is None else (session.prediction, session.candidate)
        self.candidates.show_prediction(*shown)

    def _objects_changed(self) -> None:
        known = {} if self._session is None else self._session.objects.table.categories
        self.output.offer(list(known))

    def _invite(self) -> None:
        """Say what to begin with."""
        self._say(NO_IMAGE if self.image.layer is None else INVITATION)

    def _say(self, text: str) -> None:
        self.status.setText(text)
