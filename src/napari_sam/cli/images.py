"""``napari-sam segment`` and ``napari-sam everything``."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from napari_sam.cli.bars import with_bar
from napari_sam.cli.files import check_writable, read_image, write_labels
from napari_sam.cli.main import EVERYTHING_NUMBERS
from napari_sam.segmentation.everything import EverythingConfig, iter_everything
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.prompts import Prompts


def segment(arguments: argparse.Namespace) -> None:
    """Segment one object and write its mask as labels 0 and 1."""
    output = check_writable(arguments.output, arguments.image)
    points = [*arguments.point, *arguments.background]
    prompts = Prompts(
        points=points or None,
        point_labels=[1] * len(arguments.point) + [0] * len(arguments.background) or None,
        box=arguments.box,
    )
    if prompts.is_empty:
        raise ValueError("Say where the object is: --point ROW,COL or --box R0,C0,R1,C1")
    image = read_image(arguments.image)
    prompts.check_inside((image.shape[0], image.shape[1]))
    predictor = predictor_of(arguments)
    embedding = predictor.embed(image, object_diameter=arguments.object_diameter)
    answer = predictor.predict(embedding, prompts, closer_look=True)
    chosen = answer.best if arguments.candidate is None else arguments.candidate - 1
    mask = answer.masks[chosen]
    write_labels(output, mask.astype(np.uint8))
    print(
        f"{output}: {int(mask.sum())} pixels, predicted IoU {answer.predicted_iou[chosen]:.2f} "
        f"(candidate {chosen + 1} of {len(answer.masks)})"
    )


def everything(arguments: argparse.Namespace) -> None:
    """Segment everything in an image and write the labels."""
    output = check_writable(arguments.output, arguments.image)
    config = everything_config(arguments)
    image = read_image(arguments.image)
    labels = with_bar(iter_everything(predictor_of(arguments), image, config))
    write_labels(output, labels)
    count = int(labels.max(initial=0))
    print(f"{output}: {count} objects")
    if not count and config.mode == "grid":
        stability, iou = config.stability_score_thresh, config.pred_iou_thresh
        print(
            "the grid's filters dropped all masks: lower --stability-score-thresh "
            f"({stability:g}) and --pred-iou-thresh ({iou:g})"
        )


def predictor_of(arguments: argparse.Namespace) -> Predictor:
    """Load the model that the options name, with a bar while it is downloaded."""
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, desc=arguments.model, leave=False, delay=1) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return Predictor(arguments.model, arguments.device, on_progress=show)


def everything_config(arguments: argparse.Namespace) -> EverythingConfig:
    """Build the settings from the options that were given."""
    names = ("mode", "points", "separation", "object_diameter", *EVERYTHING_NUMBERS)
    given: dict[str, Any] = {
        name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None
    }
    if arguments.draw is not None:  # --level is that of a pyramid
        given["level"] = arguments.draw
    return EverythingConfig(**given)
