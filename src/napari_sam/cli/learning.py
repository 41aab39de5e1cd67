"""``napari-sam train`` and ``napari-sam evaluate``."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.cli.bars import with_bar
from napari_sam.cli.files import check_place
from napari_sam.cli.images import everything_config, predictor_of
from napari_sam.cli.stopping import gentle_stop
from napari_sam.model.devices import resolve_device
from napari_sam.model.registry import find_checkpoint, load_model
from napari_sam.segmentation.predictor import Predictor
from napari_sam.training.evaluate import EvaluateConfig, iter_evaluate
from napari_sam.training.figures import check_picture, draw_cases
from napari_sam.training.folders import read_folder
from napari_sam.training.rating import RATERS
from napari_sam.training.recipe import Recipe, read_recipe
from napari_sam.training.run_files import RunFiles
from napari_sam.training.samples import Sample, read_pack

DATA_VARIABLE = "NAPARI_SAM_DATA"


def train(arguments: argparse.Namespace) -> None:
    """Train a network by a recipe, showing losses and rate."""
    import torch
    from tqdm import tqdm

    from napari_sam.training.trainer import iter_train
    from napari_sam.training.workers import process_count

    output = _output(arguments)
    recipe = _recipe(arguments)
    device = resolve_device(arguments.device)
    if arguments.threads is not None:
        count = process_count(recipe, device, arguments.workers)
        torch.set_num_threads(arguments.threads * count)
    start = None if arguments.weights is None else load_model(arguments.weights, "cpu")
    samples = _samples(_folders(arguments), split="train")
    validation = _samples(_folders(arguments, packs=True), split="val")
    print(f"{len(samples)} samples, {len(validation)} to score on, device {device}")
    job = iter_train(
        recipe,
        samples,
        output,
        resume=not arguments.restart,
        start=start,
        device=device,
        workers=arguments.workers,
        validation=validation,
    )
    steps = 0
    with gentle_stop() as stopping, tqdm(total=recipe.steps, unit="step") as bar:
        for event in job:
            steps += 1
            bar.set_postfix({name: f"{loss:.3f}" for name, loss in event.losses.items()})
            bar.update(event.step - bar.n)
            if event.scores:
                figures = ", ".join(f"{name} {value:.3f}" for name, value in event.scores.items())
                bar.write(f"step {event.step}: {figures}")
            if stopping() and event.step < event.steps:
                job.close()
                raise KeyboardInterrupt
    if not steps:
        print(_finished_before(recipe))
    print(output)


def _finished_before(recipe: Recipe) -> str:
    told = f"This run was finished before: all {recipe.steps} steps; --restart starts over"
    if recipe.tune in RATERS:
        told += f". The rater was only fitted again, in {recipe.fits} steps"
    return told


def _output(arguments: argparse.Namespace) -> Path:
    """Return where the network is written: not over the weights that training begins from."""
    output = RunFiles.beside(arguments.output).network
    if arguments.weights is None or not output.exists():
        return output
    if output.samefile(find_checkpoint(arguments.weights)):
        raise ValueError(
            f"{str(output)!r} holds the weights to begin from, without which no run is resumed; "
            "choose another output"
        )
    return output


def _recipe(arguments: argparse.Namespace) -> Recipe:
    """Read the recipe; with weights and no recipe, the one for fine-tuning."""
    recipe = read_recipe(arguments.config or ("finetune" if arguments.weights else "nano"))
    given = {"steps": arguments.steps, "tune": arguments.tune}
    return dataclasses.replace(recipe, **{k: v for k, v in given.items() if v is not None})


def evaluate(arguments: argparse.Namespace) -> None:
    """Score a model and print the table."""
    folders = _folders(arguments)
    if not folders:
        raise ValueError(f"There is nothing to evaluate on; give --data, or set {DATA_VARIABLE}")
    _check_files(arguments)
    samples = _samples(folders, split=arguments.split, sources=arguments.source, keep_empty=True)
    _check_breakdown(samples, arguments.by)
    predictor = predictor_of(arguments)
    config = EvaluateConfig(
        clicks=arguments.clicks,
        most_clicks=arguments.most_clicks,
        max_objects=arguments.max_objects,
        max_images=arguments.max_images,
        modes=_modes(arguments.modes, predictor),
        everything=everything_config(arguments),
    )
    result = with_bar(iter_evaluate(predictor, samples, config))
    for tag in (None, *arguments.by):
        print(result.table(tag), end="\n\n")
    if arguments.json is not None:
        result.write_json(arguments.json, arguments.by)
    if arguments.figure is not None:
        draw_cases(result, arguments.figure)


def _check_files(arguments: argparse.Namespace) -> None:
    """Check that what is to be written beside the table can be."""
    for path in filter(None, (arguments.json, arguments.figure)):
        check_place(path)
    if arguments.figure is not None:
        check_picture(arguments.figure)


def _modes(text: str | None, predictor: Predictor) -> tuple[str, ...]:
    """Return the modes that were asked for; both without a grid where the model has them."""
    if text is None:
        return ("instances", "prompts") if predictor.has_instance_decoder else ()
    return tuple(mode for mode in text.split(",") if mode)


def _check_breakdown(samples: Sequence[Sample], columns: Iterable[str]) -> None:
    """Refuse columns that no sample has, and no samples, before hours of work, not after."""
    if not samples:
        raise ValueError("There are no samples to evaluate on: no such split or source")
    known = sorted({name for sample in samples for name in sample.tags})
    unknown = [column for column in columns if column not in known]
    if unknown:
        raise ValueError(
            f"The data have no column {unknown[0]!r}; known: {', '.join(known) or 'none'}"
        )


def _folders(arguments: argparse.Namespace, *, packs: bool = False) -> list[Path]:
    """Return the given data folders, or only the packs among them."""
    given = arguments.data or [os.environ[DATA_VARIABLE]] * (DATA_VARIABLE in os.environ)
    folders = [Path(folder) for folder in given]
    return [folder for folder in folders if not packs or (folder / "index.csv").is_file()]


def _samples(
    folders: Iterable[Path],
    *,
    split: str,
    sources: list[str] | None = None,
    keep_empty: bool = False,
) -> list[Sample]:
    samples: list[Sample] = []
    for folder in folders:
        if (folder / "index.csv").is_file():
            samples += read_pack(
                folder, split=split, sources=sources, read_volume=read_labelled_volume
            )
        else:
            own = read_folder(folder, read_array=read_zarr, keep_empty=keep_empty)
            samples += [one for one in own if sources is None or one.source in sources]
    return samples


def read_labelled_volume(path: Path) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Read the image and the first label image (Z, Y, X) of an OME-Zarr group into memory."""
    import zarr

    names = zarr.open_group(path / "labels", mode="r").group_keys()
    image = zarr.open_array(path / "0", mode="r")
    labels = zarr.open_array(path / "labels" / min(names) / "0", mode="r")
    return np.asarray(image[:]), np.asarray(labels[:])


def read_zarr(path: Path) -> NDArray[np.generic]:
    """Read a zarr array, or the finest level of an OME-Zarr group, into memory."""
    from napari_sam.volume import open_source

    source = open_source(path)
    planes = [source.read(z) for z in range(source.shape[0])]
    return planes[0] if len(planes) == 1 else np.stack(planes)
