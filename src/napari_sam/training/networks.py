"""The network that a recipe trains: built anew, grown from given weights, or given."""

from __future__ import annotations

import copy
import logging
from collections.abc import Container

import torch
from torch import nn

from napari_sam.model.layers import ResidualBlock
from napari_sam.model.sam import Sam
from napari_sam.training.recipe import Recipe

logger = logging.getLogger(__name__)

NO_NETWORK = "This recipe describes no network: give weights to start from"


def network_of(recipe: Recipe, start: Sam | None) -> Sam:
    """Build the recipe's network, or copy the given one if the recipe describes none.

    Parameters
    ----------
    recipe : Recipe
        Describes a network or not.
    start : Sam or None
        A network built by the recipe takes over what fits of its weights; how many tensors do not
        is told in a warning.

    Raises
    ------
    ValueError
        If there is neither, or no part of the given image encoder fits.
    """
    if not recipe.network:
        if start is None:
            raise ValueError(NO_NETWORK)
        return copy.deepcopy(start).float()
    model = _fresh(recipe)
    if start is not None:
        own = model.state_dict()
        given = start.state_dict()
        fitting = {k: v for k, v in given.items() if k in own and v.shape == own[k].shape}
        if not any(name.startswith("image_encoder.") for name in fitting):
            raise ValueError("The given weights have no image encoder that fits the recipe's")
        left_out = len(given) - len(fitting)
        if left_out:
            logger.warning(
                "%d of the %d given tensors found no place in the recipe's network",
                left_out,
                len(given),
            )
        model.load_state_dict(fitting, strict=False)
        _rest_new_blocks(model, fitting)
    return model


def _rest_new_blocks(model: Sam, given: Container[str]) -> None:
    """Let residual blocks that were not given begin as the identity: a network that grows."""
    for name, block in model.named_modules():
        if isinstance(block, ResidualBlock) and f"{name}.conv1.0.weight" not in given:
            norm = block.conv2[1]
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.zeros_(norm.weight)


def _fresh(recipe: Recipe) -> Sam:
    """Build a network whose positional encoding tells near and far apart at several scales."""
    model = Sam(recipe.sam_config())
    matrix = model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    scales = torch.tensor([0.5, 1.0, 2.0, 4.0]).repeat(matrix.shape[1] // 4 + 1)
    matrix.mul_(scales[: matrix.shape[1]])
    return model
