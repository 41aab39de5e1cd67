"""``napari-sam train`` and ``napari-sam evaluate``."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.cli.bars import with_bar
from napari_sam.cli.images import predictor_of
from napari_sam.segmentation.everything import EverythingConfig
from napari_sam.training.evaluate import EvaluateConfig, iter_evaluate
from napari_sam.training.recipe import read_recipe
from napari_sam.training.samples import Sample, read_folder, read_pack

DATA_VARIABLE = "NAPARI_SAM_DATA"


def train(arguments: argparse.Namespace) -> None:
    """Train a network by a recipe, showing losses and rate."""
    import torch
    from tqdm import tqdm

    from napari_sam.training.trainer import iter_train

    recipe = read_recipe(arguments.config)
    if arguments.steps is not None:
        recipe = dataclasses.replace(recipe, steps=arguments.steps)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    samples = _samples(_folders(arguments), split="train")
    print(f"{len(samples)} samples; synthetic scenes as the recipe says")
    job = iter_train(recipe, samples, arguments.output, resume=not arguments.restart)
    with tqdm(total=recipe.steps, unit="step") as bar:
        for event in job:
            bar.set_postfix({name: f"{loss:.3f}" for name, loss in event.losses.items()})
            bar.update(event.step - bar.n)
    print(arguments.output)


def evaluate(arguments: argparse.Namespace) -> None:
    """Score a model and print the table."""
    folders = _folders(arguments)
    if not folders:
        raise ValueError(f"There is nothing to evaluate on; give --data, or set {DATA_VARIABLE}")
    samples = _samples(folders, split=arguments.split, sources=arguments.source)
    config = EvaluateConfig(
        clicks=arguments.clicks,
        max_objects=arguments.max_objects,
        modes=tuple(mode for mode in arguments.modes.split(",") if mode),
        everything=EverythingConfig(object_diameter=arguments.object_diameter),
    )
    result = with_bar(iter_evaluate(predictor_of(arguments), samples, config))
    print(result.table())
    if arguments.json is not None:
        result.write_json(arguments.json)


def _folders(arguments: argparse.Namespace) -> list[Path]:
    given = arguments.data or [os.environ[DATA_VARIABLE]] * (DATA_VARIABLE in os.environ)
    return [Path(folder) for folder in given]


def _samples(
    folders: Iterable[Path], *, split: str, sources: list[str] | None = None
) -> list[Sample]:
    samples: list[Sample] = []
    for folder in folders:
        if (folder / "index.csv").is_file():
            samples += read_pack(
                folder, split=split, sources=sources, read_volume=read_labelled_volume
            )
        else:
            samples += read_folder(folder)
    return samples


def read_labelled_volume(path: Path) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Read the image and the first label image (Z, Y, X) of an OME-Zarr group into memory."""
    import zarr

    names = zarr.open_group(path / "labels", mode="r").group_keys()
    image = zarr.open_array(path / "0", mode="r")
    labels = zarr.open_array(path / "labels" / min(names) / "0", mode="r")
    return np.asarray(image[:]), np.asarray(labels[:])
