"""What the dock "Segment" does that takes longer than a click: in the background, with progress."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info

from napari_sam.viewer.layers import highest_label, shown_plane, visible_part
from napari_sam.viewer.projection import check_coincides
from napari_sam.widgets.session_dock import SessionDock
from napari_sam.widgets.session_opening import SessionOpening
from napari_sam.widgets.table_dock import TableDock
from napari_sam.widgets.words import BUSY, counted, told, told_of_drafts
from napari_sam.widgets.workers import Runner, report_refusal

if TYPE_CHECKING:
    from napari_sam.segmentation.progress import Progress
    from napari_sam.viewer.drafts import Draft
    from napari_sam.viewer.layers import Plane
    from napari_sam.viewer.propagate import CarriedSlice
    from napari_sam.viewer.requests import PredictRequest
    from napari_sam.viewer.session import Session
    from napari_sam.widgets.job_bar import JobBar


def new_group() -> str:
    """Return a name for changes that are undone together."""
    return uuid.uuid4().hex


def close_journals(sessions: list[Session], *_: object) -> None:
    """Close the journals of a dock that Qt deletes; its layers go with their viewer."""
    for session in sessions:
        session.objects.close()


class SessionJobs:
    """Opens sessions and runs their longer jobs, one at a time.

    Parameters
    ----------
    dock : SessionDock
        Whose session.
    runner : Runner
        Runs the jobs.
    bar : JobBar
        Shows how far they are, and stops them.
    say : callable
        Shows a line of text.
    """

    def __init__(
        self, dock: SessionDock, runner: Runner, bar: JobBar, say: Callable[[str], None]
    ) -> None:
        self._dock = dock
        self.opening = SessionOpening(dock, bar, say)
        self._bar = bar
        bar.stopped.connect(self.cancel)
        self._runner = runner
        self._say = say
        self._carrying = False
        self.table = TableDock(dock, say, self.start)

    def drop(self) -> None:
        """Stop the job under way and a session's opening: the dock has closed its session."""
        self.opening.forget()
        self._runner.cancel()
        self._bar.end()
        self.table.close()

    def propagate(self, *, only_here: bool = False) -> None:
        """Carry objects through the stack: those chosen in the table, else those on this slice.

        With `only_here` they start from this slice alone, after it was corrected.
        """
        session, plane = self._dock.session, self._plane()
        if session is None or plane is None or session.labels is None:
            self._say("Commit an object first")
            return
        from napari_sam.segmentation.propagation import PropagateConfig
        from napari_sam.viewer.propagate import iter_carry, propagate_request

        config = PropagateConfig(max_slices=self._dock.output.reach.value())
        try:
            check_coincides(self._dock.viewer, session.image, session.labels)
            request = propagate_request(
                session.request(),
                session.labels,
                session.objects.table,
                self.table.chosen(),
                config,
                only_here=only_here,
                axis=self._dock.output.along.axis,
            )
        except ValueError as error:
            self.refuse(error)
            return
        group = new_group()
        self.start(
            session,
            lambda: iter_carry(request),
            on_event=lambda carried: self._carried(session, carried, group),
            on_result=lambda summary: self._say(told(summary)),
            carrying=True,
        )

    def actions(self) -> dict[str, Callable[[], object]]:
        """Return what buttons and keys do, by name."""
        return {
            "each": self.each_alone,
            "everything": self.everything_in_view,
            "alike": self.find_alike,
            "propagate": self.propagate,
            "propagate_here": lambda: self.propagate(only_here=True),
            "stop": self.stop_here,
            "refine": self.refine,
            "table": self.table.open,
            "review": self.review,
        }

    def review(self) -> None:
        """Go to the most doubtful object among those nobody reviewed."""
        session = self._dock.session
        entry = None if session is None else session.objects.next_doubtful()
        if entry is None or session is None:
            self._say("Every object is reviewed")
            return
        session.objects.mark_reviewed([entry.label_id])
        session.objects.jump_to(entry.label_id)
        left = len(session.objects.table.by_doubt())
        self._say(
            f"Object {entry.label_id}, doubt {entry.doubt:.2f}, {left} more to review; "
            "Alt+click reopens it"
        )

    def reopen(self, world: Any) -> None:
        """Take up the prompts of the object at a point of the world again."""
        session = self._dock.session
        label = 0 if session is None else session.objects.at(world)
        if session is None or not label:
            self._say("There is no object to reopen here")
            return
        try:
            session.reopen(label)
        except ValueError as error:
            self._say(str(error))
            return
        self._say(f"Reopened object {label}; a commit replaces its mask")

    def draw_gesture(self, kind: str, corners: Any) -> None:
        """Show a box, lasso or scribble in progress; no kind at its end."""
        session, plane = self._dock.session, self._plane()
        if session is None or plane is None:
            return
        session.overlays.hide_hover()
        if kind:
            session.overlays.draw(corners, plane, closed=kind != "scribble")
        else:
            session.overlays.hide_gesture()

    def stop_here(self) -> None:
        """Let propagation of the chosen objects, or those on this slice, end before this slice."""
        session, plane = self._dock.session, self._plane()
        if session is None or plane is None or not len(session.objects.table):
            self._say("Commit an object first")
            return
        if self._dock.output.along.axis is None:
            self._say("A single image has no slices to propagate through")
            return
        count = session.objects.stop(self.table.chosen(), plane)
        self._say(f"Propagation of {counted(count, 'object')} ends before this slice")

    def _carried(self, session: Session, carried: CarriedSlice, group: str) -> None:
        session.objects.write_carried(carried, group)
        self._bar.show_progress(carried.done, carried.total)
        self._say(f"Propagating: {carried.done} of {carried.total} slices of objects")

    def each_alone(self) -> None:
        """Make one object of each box and of each positive point on the shown slice."""
        session, plane = self._dock.session, self._plane()
        if session is None or plane is None:
            self._say("Draw boxes or place points first")
            return
        from napari_sam.viewer.drafts import each_alone, iter_each

        prompts, boxes = self._dock.prompts.read(plane)
        alone = each_alone(prompts, boxes)
        if not alone:
            self._say("There is no box and no positive point on this slice")
            return
        request = self._request(session)
        if request is not None:
            self._run_drafts(session, plane, "many", lambda: iter_each(request, alone))

    def everything_in_view(self) -> None:
        """Find every object that the canvas shows, as drafts in background."""
        session, plane, image = self._dock.session, self._plane(), self._dock.image.layer
        if session is None:
            self._dock.open_then(self.everything_in_view)
            return
        if plane is None or image is None:
            return
        from napari_sam.segmentation.everything_config import EverythingConfig, within_range
        from napari_sam.viewer.drafts import iter_everything_in

        request = self._request(session)
        if request is None:
            return
        view = visible_part(image, plane)
        diameter = session.object_diameter
        config = EverythingConfig(object_diameter=diameter and within_range(diameter))
        self._run_drafts(
            session,
            plane,
            "everything",
            lambda: iter_everything_in(request, view, config),
            self._most_doubt,
        )

    def find_alike(self) -> None:
        """Find others like the objects chosen in the table, or the last one, as drafts."""
        session, plane, image = self._dock.session, self._plane(), self._dock.image.layer
        if session is None or plane is None or image is None:
            self._say("Commit an object first")
            return
        from napari_sam.viewer.alike import alike_request, iter_alike_in

        try:
            if session.labels is not None:
                check_coincides(self._dock.viewer, image, session.labels)
            asked = alike_request(
                session.request(),
                session.labels,
                session.objects,
                self.table.chosen(),
                visible_part(image, plane),
            )
        except ValueError as error:
            self._say(str(error))
            return
        self._run_drafts(session, plane, "alike", lambda: iter_alike_in(asked), self._most_doubt)

    def refine(self) -> None:
        """Give every object of the chosen Labels layer on this slice back as a mask prompt."""
        session, plane, labels = self._dock.session, self._plane(), self._dock.output.writable()
        if session is None:
            self._dock.open_then(self.refine)
            return
        if plane is None:
            return
        if labels is None:
            self._say("Choose a Labels layer to refine")
            return
        from napari_sam.viewer.drafts import iter_refine
        from napari_sam.viewer.layers import read_array

        array = labels.data
        try:
            check_coincides(self._dock.viewer, session.image, labels)
            request = session.request()
        except ValueError as error:
            self._say(str(error))
            return
        self._run_drafts(
            session, plane, "refined", lambda: iter_refine(request, read_array(array, plane))
        )

    def start_over(self) -> None:
        """Put the journal aside and begin anew; the Labels layer stays as it is."""
        from napari_sam.viewer.recovery import start_over

        session = self._dock.session
        if session is None or session.objects.journal is None:
            self._say("There is nothing to put aside")
            return
        journal, session.objects.journal = session.objects.journal, None
        start_over(journal)
        self._dock.renew()
        self._say("Began anew; the journal of what was done lies beside, as .old.jsonl")

    def stop_carrying(self) -> None:
        """Stop a propagation under way: what it wrote is about to be taken back."""
        if self._carrying and self._runner.busy:
            self.cancel()

    def data_replaced(self) -> None:
        """Stop a job on what the image showed before."""
        if self._runner.busy:
            self.cancel()
            self._say("Stopped: the image has other data now")

    def cancel(self) -> None:
        """Stop the job under way; what it wrote stays, and can be undone."""
        self._runner.cancel()
        self._bar.end()
        self._say("Stopped")

    def _run_drafts(
        self,
        session: Session,
        plane: Plane,
        origin: str,
        job: Callable[[], Generator[Progress, None, Sequence[Draft]]],
        max_doubt: float = 1.0,
    ) -> None:
        uncounted = session.objects.uncounted

        def counted() -> Generator[Progress, None, tuple[Sequence[Draft], int | None]]:
            drafts = yield from job()
            return drafts, None if uncounted is None else highest_label(uncounted)

        def write(found: tuple[Sequence[Draft], int | None]) -> None:
            drafts, highest = found
            if highest is not None:
                session.objects.count(highest)
            try:
                written = session.add_drafts(plane, drafts, origin, max_doubt=max_doubt)
            except (ValueError, OverflowError) as error:
                self.refuse(error)
                return
            self._dock.show_written(session)
            self._say(told_of_drafts(written, origin))

        self.start(session, counted, on_result=write)

    def start(
        self,
        session: Session,
        job: Callable[[], Generator[Any, None, Any]],
        *,
        on_result: Callable[[Any], object],
        on_event: Callable[[Any], object] | None = None,
        carrying: bool = False,
    ) -> None:
        """Run a job, unless one is under way, which would end half way; its progress is told."""
        if self._runner.busy:
            show_info(BUSY)  # what the dock says is written over by the job's next step
            return
        self._bar.begin()
        self._carrying = carrying
        self._runner.start(
            job,
            on_event=on_event or self._tell,
            on_result=on_result,
            on_end=self._bar.end,
            title=f"working on {session.image.name!r}",
        )

    def refuse(self, error: Exception) -> None:
        """Tell why something is not done, in the dock and beside the image."""
        self._say(str(error))
        report_refusal(error)

    def _request(self, session: Session) -> PredictRequest | None:
        """Take down what is shown and prompted; None, with a word, where that cannot be."""
        try:
            return session.request()
        except ValueError as error:
            self._say(str(error))
            return None

    def _tell(self, progress: Progress) -> None:
        self._bar.show_progress(progress.done, progress.total)
        self._say(f"{progress.stage}: {progress.done} of {progress.total}")

    @property
    def _most_doubt(self) -> float:
        """How doubtful a mask may be that nobody asked for by itself."""
        return float(self._dock.output.max_doubt.value())

    def _plane(self) -> Plane | None:
        image = self._dock.image.layer
        try:
            return None if image is None else shown_plane(self._dock.viewer, image)
        except ValueError as error:
            self._say(str(error))
            return None
