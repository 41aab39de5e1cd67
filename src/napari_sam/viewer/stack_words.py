"""A volume job in words, for a dock."""

from __future__ import annotations

from napari_sam.viewer.stack_job import StackForecast, StackOpened, StackStep
from napari_sam.volume import LinkDoubt, VolumeReport
from napari_sam.volume.preflight import duration

_STAGES = {
    "segment": ("Segmenting", "blocks"),
    "link": ("Linking", "blocks"),
    "write": ("Writing labels", "parts"),
}
_KINDS = {
    "weak": ("weak link", "Linked, barely above the threshold"),
    "ambiguous": ("two matches", "Linked; a second object matched nearly as well"),
    "missed": ("not linked", "Each other's best match, but a little under the threshold"),
    "gap": ("gap", "Linked past slices where the object is missing"),
    "contained": ("piece", "A short piece that joined the object it lies in"),
    "seam": ("seam", "Linked over a seam of blocks, barely"),
    "cut": ("cut", "Ends at a seam of blocks: the neighbour has no match"),
}
"""What a doubt is about: in a cell, and as its tooltip."""


def progress_line(step: StackStep) -> str:
    """Say how far a job is, how quickly it goes, and how long the stage will take."""
    event = step.event
    if event.stage not in _STAGES:
        return "Finishing"
    doing, things = _STAGES[event.stage]
    line = f"{doing}: {event.done} of {event.total} {things}"
    if step.rate is not None and step.seconds_left is not None:
        pace = f"{step.rate:.1f} a second" if step.rate >= 1 else f"{1 / step.rate:.1f} s each"
        line += f"\n{pace}, {duration(step.seconds_left)} left"
    if event.error is not None:
        line += f"\nSlice {event.z} is left empty: {event.error}"
    return line


def opened_line(opened: StackOpened) -> str:
    """Say how a job can be resumed, where that is not everywhere."""
    if opened.location is not None:
        return ""
    return (
        "This image has no file that holds the same pixels: if the job stops, only this image in "
        "napari can go on with it. Save the image as OME-Zarr or TIFF and open that to resume from "
        "the shell."
    )


def forecast_lines(forecast: StackForecast) -> str:
    """Say what a new job will take."""
    told = forecast.preflight
    lines = [line.split(maxsplit=1) for line in told.lines()]
    wanted = ("time", "disk")
    text = "\n".join(f"{key.capitalize()}: {rest}" for key, rest in lines if key in wanted)
    if told.free < told.scratch + told.labels:
        text += "\nThe disk has not enough room: cancel, and choose a folder on another one."
    return text


def report_lines(report: VolumeReport) -> list[tuple[str, str]]:
    """Return a finished job as rows: what it is, and how many or how large."""
    rows = [("Objects", f"{report.n_objects}")]
    sums = report.objects
    if sums is not None:
        links = sums.links
        rows += [
            ("Before linking", f"{sums.per_slice} in {report.shape[0]} slices"),
            ("Smallest", f"{sums.smallest} voxels"),
            ("Median", f"{sums.median} voxels"),
            ("Largest", f"{sums.largest} voxels"),
            ("Links in z", f"{links.in_z}"),
            ("Links over gaps", f"{links.gaps}"),
            ("Links over seams", f"{links.seams}"),
            ("Pieces joined", f"{links.fragments}"),
        ]
    if report.failed:
        rows.append(("Failed blocks", f"{len(report.failed)}, left empty"))
    return rows


def doubt_cells(doubt: LinkDoubt) -> tuple[str, str, str, str]:
    """Return a doubt as cells: how doubtful, what, which objects, which slice."""
    numbers = dict.fromkeys(number for number in doubt.objects if number)
    kind = _KINDS.get(doubt.kind, (doubt.kind, ""))[0]
    return f"{doubt.doubt:.2f}", kind, ", ".join(map(str, numbers)) or "removed", f"{doubt.z}"


def doubt_tooltip(doubt: LinkDoubt) -> str:
    """Say what a doubt is about, and where."""
    return f"{_KINDS.get(doubt.kind, ('', doubt.kind))[1]}\n{doubt.text}"
