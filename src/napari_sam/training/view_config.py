"""What a network needs to see in training: sizes of views and windows, and which targets."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.training.recipe import Recipe

_STRIDE_OF_TARGETS = 4


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How views are drawn for a network.

    Attributes
    ----------
    size : int
        Side of a view, pixels.
    stride : int
        Pixels along one side of an image token.
    windows : tuple of (int, float)
        Side of the decoded window in tokens, and how often it is drawn.
    diameter : float or None
        Typical diameter of an object in a view, pixels; None shows whole images, as networks with
        a fixed input see them.
    instances : bool
        Whether targets of the instance decoder are drawn.
    """

    size: int
    stride: int
    windows: tuple[tuple[int, float], ...]
    diameter: float | None
    instances: bool

    @property
    def pooling(self) -> int:
        """Pixels of a view along one side of a pixel of the mask decoder's target."""
        return self.stride // _STRIDE_OF_TARGETS


def view_config(recipe: Recipe, config: SamConfig) -> ViewConfig:
    """Decide how views are drawn for a network."""
    encoder = config.encoder
    if isinstance(encoder, ViTConfig):
        return ViewConfig(
            size=encoder.image_size,
            stride=encoder.stride,
            windows=((encoder.grid_size, 1.0),),
            diameter=None,
            instances=False,
        )
    return ViewConfig(
        size=recipe.crop_size,
        stride=encoder.stride,
        windows=recipe.windows,
        diameter=config.object_diameter or recipe.diameter,
        instances=config.instances,
    )
