"""The part of the dock "Segment" that is about prompts: layers, polarity, gestures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QWidget,
)

from napari_sam.viewer.entries import ObjectPrompts
from napari_sam.viewer.layers import (
    NEGATIVE,
    POSITIVE,
    Plane,
    plane_in_view,
    prompts_from_points,
    read_shapes,
    shown_plane,
)
from napari_sam.viewer.places import data_at
from napari_sam.widgets.choosers import LayerChooser
from napari_sam.widgets.corners import ends, meets, rectangle, thinned, within
from napari_sam.widgets.gestures import GestureCalls, Gestures, Path
from napari_sam.widgets.keys import Call, KeyMap, unbind
from napari_sam.widgets.prompt_layers import (
    add_boxes_layer,
    add_point,
    add_points_layer,
    add_shape,
    edge_width,
    polarity_of,
    remove_prompts,
    set_polarity,
    show_prompts,
)
from napari_sam.widgets.prompt_looks import PromptLooks
from napari_sam.widgets.waiting_points import WaitingPoints

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

_PAST = ("added", "removed", "changed")
_SCRIBBLE_POINTS = 8
_LASSO_CORNERS = 96
_OUTSIDE = "That is outside of the image: nothing was added"
_SHAPES = {"box": "rectangle", "lasso": "polygon"}


class PromptBoard(QGroupBox):
    """Chooses the prompt layers, reads them, and turns gestures into what they hold.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers.
    image : callable
        Returns the image that prompts are for, or None.
    parent : QWidget
        The dock.
    """

    changed = Signal()
    """What the layers say changed."""
    hovered = Signal(object)
    """A point (row, col) of the shown plane."""
    reopened = Signal(object)
    """A point of the world."""
    drawing = Signal(str, object)
    """Kind and corners (N, 2) of what is being drawn; the kind is empty at its end."""
    wheeled = Signal(int)
    refused = Signal(str)  # why a click or a gesture is no prompt

    def __init__(
        self, viewer: ViewerModel, image: Callable[[], Image | None], parent: QWidget
    ) -> None:
        super().__init__("Prompts", parent)
        self._viewer = viewer
        self._image = image
        self._keymap = KeyMap()
        self._calls: dict[str, Call] = {}
        self._bound: dict[str, list[str]] = {}
        self._watched: dict[str, Any] = {}
        self._gestures: Gestures | None = None
        self._quiet = False
        self._looks = PromptLooks()
        self._waiting = WaitingPoints(viewer, self.settle, self)
        self._build()

    @property
    def keymap(self) -> KeyMap:
        """Which keys do what."""
        return self._keymap

    @property
    def point_layer(self) -> Points | None:
        """The chosen Points layer."""
        return self._watched.get("points")

    @property
    def shape_layer(self) -> Shapes | None:
        """The chosen Shapes layer."""
        return self._watched.get("boxes")

    @property
    def has_prompts(self) -> bool:
        """Whether the layers hold anything, on any plane."""
        return bool(self._waiting) or any(len(layer.data) for layer in self._watched.values())

    def set_calls(self, calls: dict[str, Call]) -> None:
        """Say what the keys do; they are bound on the layers that are chosen from now on."""
        self._calls = calls

    def rebind(self) -> None:
        """Bind the keys anew after they were changed."""
        for kind, layer in self._watched.items():
            unbind(layer, self._bound.pop(kind, []))
            self._bound[kind] = self._keymap.bind(layer, self._calls)

    def let_go(self) -> None:
        """Stop listening to every layer."""
        self.settle()
        for kind in ("points", "boxes"):
            self._watch(kind, None)
        for chooser in (self.points, self.boxes):
            chooser.detach()

    def new_points(self) -> Points | None:
        """Make a Points layer that fits the image, and watch it."""
        image = self._image()
        if image is None:
            return None
        layer = add_points_layer(self._viewer, image)
        self.points.choose(layer)
        return layer

    def new_boxes(self) -> Shapes | None:
        """Make a Shapes layer that fits the image, and watch it."""
        image = self._image()
        if image is None:
            return None
        layer = add_boxes_layer(self._viewer, image)
        self.boxes.choose(layer)
        return layer

    def select(self) -> None:
        """Select the Points layer, if there is one: clicks and keys go to it."""
        if self.point_layer is not None:
            self._viewer.layers.selection.active = self.point_layer

    def toggle_polarity(self) -> None:
        """Make the next points negative, or positive again."""
        layer = self.point_layer
        if layer is not None:
            self.set_polarity(NEGATIVE if polarity_of(layer) == POSITIVE else POSITIVE)

    def set_polarity(self, polarity: str) -> None:
        """Make the next points positive or negative."""
        self.polarity[polarity].setChecked(True)
        layer = self.point_layer
        if layer is not None and polarity_of(layer) != polarity:
            set_polarity(layer, polarity)

    def read(self, plane: Plane) -> tuple[ObjectPrompts, list[NDArray[np.float64]]]:
        """Return the prompts on a plane, of which the last box counts; and all boxes."""
        image = self._image()
        prompts = ObjectPrompts(plane=plane)
        if image is None:
            return prompts, []
        points, labels = np.empty((0, 2)), np.empty(0, np.int64)
        if self.point_layer is not None:
            points, labels, _ = prompts_from_points(self._viewer, image, self.point_layer, plane)
        waiting = self._waiting.read(image, plane)
        points, labels = np.concatenate([points, waiting[0]]), np.append(labels, waiting[1])
        boxes: list[NDArray[np.float64]] = []
        outline = None
        if self.shape_layer is not None:
            drawn = read_shapes(self._viewer, image, self.shape_layer, plane)
            boxes, outline = drawn.boxes, drawn.outlines[-1] if drawn.outlines else None
            for line in drawn.lines:
                along = thinned(line, _SCRIBBLE_POINTS)
                points = np.concatenate([points, along])
                labels = np.concatenate([labels, np.ones(len(along), np.int64)])
        box = boxes[-1] if boxes else None
        return prompts.with_prompts(points, labels, box, outline), boxes

    def show_prompts(self, prompts: ObjectPrompts, *, beside: bool = False) -> None:
        """Put prompts into the layers, making those that are needed; nothing is told.

        Others on their plane go, unless these are to stand beside them.
        """
        image = self._image()
        if image is None:
            return
        with self._silence():
            if prompts.plane is not None and not beside:
                self.remove(prompts.plane)
            if prompts.points and self.point_layer is None:
                self.new_points()
            if (prompts.box or prompts.outline) and self.shape_layer is None:
                self._silent_boxes()
            layers = self.point_layer, self.shape_layer
            show_prompts(self._viewer, image, *layers, prompts, self._looks)

    def remove(self, plane: Plane) -> None:
        """Take the prompts on a plane out of the layers; nothing is told."""
        image = self._image()
        if image is not None:
            with self._silence():
                self._waiting.drop(image, plane)
                layers = self.point_layer, self.shape_layer
                remove_prompts(self._viewer, image, *layers, plane, self._looks)

    def click(self, world: NDArray[np.float64], *, inside: bool = True) -> None:
        """Prompt at a point of the world, in the object or, as polarity says, outside of it."""
        layer, image = self.point_layer, self._image()
        if layer is None or image is None:
            return
        positive = polarity_of(layer) == POSITIVE
        place = data_at(self._viewer, image, world)
        plane = plane_in_view(self._viewer, image)
        if plane is not None:  # what is shown may lie beside where the viewer stands
            place = plane.onto(place[None])[0]
            if not within(plane.in_plane(place[None]), plane).all():
                self.refused.emit(_OUTSIDE)
                return
        self._waiting.add(layer, image, place, inside=inside == positive)
        self.changed.emit()

    def settle(self) -> None:
        """Show what was clicked as points of the layer; nothing is told."""
        with self._silence():
            self._waiting.put()

    # building

    def _build(self) -> None:
        grid = QGridLayout(self)
        self.points = LayerChooser(self._viewer, (Points,), nothing="none", parent=self)
        self.boxes = LayerChooser(self._viewer, (Shapes,), nothing="none", parent=self)
        rows = (
            ("Points", self.points, self.new_points, "Click objects in a new Points layer"),
            ("Boxes", self.boxes, self.new_boxes, "Draw boxes in a new Shapes layer"),
        )
        self.points.setToolTip("The Points layer whose points are the prompts")
        self.boxes.setToolTip("The Shapes layer whose boxes and outlines are prompts, too")
        for row, (name, chooser, make, tooltip) in enumerate(rows):
            button = QPushButton("New")
            button.setToolTip(tooltip)
            button.setObjectName(f"new_{name.lower()}")
            button.clicked.connect(lambda _=False, make=make: make())
            grid.addWidget(QLabel(name), row, 0)
            grid.addWidget(chooser, row, 1)
            grid.addWidget(button, row, 2)
            self.setTabOrder(chooser, button)
        grid.setColumnStretch(1, 1)
        self.polarity = {POSITIVE: QPushButton(), NEGATIVE: QPushButton()}
        line = QHBoxLayout()
        group = QButtonGroup(self)
        for kind, text in ((POSITIVE, "+ object"), (NEGATIVE, "\N{MINUS SIGN} background")):
            button = self.polarity[kind]
            button.setText(text)
            button.setCheckable(True)
            button.setToolTip("What the next point means (key T; Shift+click is the other)")
            button.clicked.connect(lambda _=False, kind=kind: self.set_polarity(kind))
            group.addButton(button)
            line.addWidget(button)
        self.polarity[POSITIVE].setChecked(True)
        line.addStretch(1)
        grid.addLayout(line, 2, 1, 1, 2)
        self.points.layer_changed.connect(lambda layer: self._watch("points", layer))
        self.boxes.layer_changed.connect(lambda layer: self._watch("boxes", layer))

    def _watch(self, kind: str, layer: Any) -> None:
        """Listen to a prompt layer instead of the one before."""
        self.settle()
        before = self._watched.pop(kind, None)
        if before is not None:
            before.events.data.disconnect(self._on_data)
            unbind(before, self._bound.pop(kind, []))
        if kind == "points" and self._gestures is not None:
            self._gestures.detach()
            self._gestures = None
        if layer is not None:
            self._watched[kind] = layer
            layer.events.data.connect(self._on_data)
            self._bound[kind] = self._keymap.bind(layer, self._calls)
            if kind == "points":
                self.set_polarity(polarity_of(layer))
                self._gestures = Gestures(layer, self._gesture_calls())
        self.changed.emit()

    def _gesture_calls(self) -> GestureCalls:
        return GestureCalls(
            click=lambda world, inside: self.click(world, inside=inside),
            reopen=self.reopened.emit,
            dragging=self._dragging,
            dropped=self._dropped,
            hover=self._hover,
            wheel=self.wheeled.emit,
        )

    def _on_data(self, event: Any) -> None:
        action = getattr(event, "action", None)
        if not self._quiet and getattr(action, "value", action) in _PAST:
            self.changed.emit()

    # gestures

    def _hover(self, world: NDArray[np.float64]) -> None:
        found = self._in_plane([world])
        if found is not None:
            self.hovered.emit(found[0])

    def _dragging(self, kind: str, path: Path) -> None:
        corners = self._in_plane(ends(path) if kind == "box" else path)
        if corners is not None:
            self.drawing.emit(kind, corners if kind != "box" else rectangle(corners))

    def _dropped(self, kind: str, path: Path, inside: bool) -> None:  # noqa: FBT001
        self.drawing.emit("", None)
        corners = self._in_plane(ends(path) if kind == "box" else path)
        image = self._image()
        if corners is None or image is None:
            return
        plane = shown_plane(self._viewer, image)
        corners = corners[within(corners, plane)] if kind == "scribble" else corners
        if not len(corners) or not meets(corners, plane):
            self.refused.emit(_OUTSIDE)  # there, it would keep every later prompt from an answer
            return
        if kind == "scribble":
            self._scribble(plane, corners, inside=inside)
            return
        corners = thinned(corners, _LASSO_CORNERS) if kind == "lasso" else corners
        if kind == "lasso" and len(corners) < 3:
            return
        with self._silence():
            shapes = self.shape_layer or self._silent_boxes()
            if shapes is None:
                return
            drawn = read_shapes(self._viewer, image, shapes, plane)
            if not self.keeps_boxes:
                self._looks.remove(shapes, drawn.indices)
            places = plane.lifted(rectangle(corners) if kind == "box" else corners)
            width = edge_width(self._viewer, shapes)
            add_shape(self._viewer, shapes, image, places, _SHAPES[kind], width)
            shapes.selected_data = set()
        self.changed.emit()

    keeps_boxes = False
    """Whether a new box joins those on the slice; otherwise it takes their place."""

    def _scribble(self, plane: Plane, corners: NDArray[np.float64], *, inside: bool) -> None:
        layer, image = self.point_layer, self._image()
        if layer is None or image is None:
            return
        positive = polarity_of(layer) == POSITIVE
        with self._silence():
            self._waiting.put()
            for place in plane.lifted(thinned(corners, _SCRIBBLE_POINTS)):
                add_point(self._viewer, layer, image, place, inside=inside == positive)
        self.changed.emit()

    def _silent_boxes(self) -> Shapes | None:
        """Make a Shapes layer without leaving the Points layer."""
        active = self._viewer.layers.selection.active
        shapes = self.new_boxes()
        if active is not None:
            self._viewer.layers.selection.active = active
        return shapes

    @contextlib.contextmanager
    def _silence(self) -> Generator[None, None, None]:
        """Tell nothing of what the board does to its layers by itself."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _in_plane(self, path: Path) -> NDArray[np.float64] | None:
        """Map points of the world to (row, col) of the shown plane; None where there is none."""
        image = self._image()
        plane = plane_in_view(self._viewer, image)
        if image is None or plane is None:
            return None
        return plane.in_plane(np.array([data_at(self._viewer, image, at) for at in path]))
