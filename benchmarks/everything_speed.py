"""How quick everything by a grid of points is: the official steps against this project's.

Both decode the same points of the same image with one network of the official decoder's size; the
plain way in the official order (every candidate of a batch of 64 is decoded in full, resized to
the image, measured, filtered, encoded as run lengths). The weights are random, so the thresholds
are set by their own scores: as many candidates pass as with official weights on a photograph (70 %
the predicted IoU). Outputs are compared. Embedding is left out: it is the same.

With --precision, a third run screens in half precision (see `segmentation.screening`). On devices
that do not compute in it, that only tells whether the records are the same.

    python benchmarks/everything_speed.py [--points 16] [--side 1024] [--threads N]
                                          [--precision bfloat16]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.model.sam import Sam
from napari_sam.segmentation import grid
from napari_sam.segmentation.everything_config import EverythingConfig
from napari_sam.segmentation.grid_crops import Crop, grid_points
from napari_sam.segmentation.masks import mask_boxes, non_maximum_suppression, stability_score
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.progress import run
from napari_sam.segmentation.rle import decode_mask, encode_mask
from napari_sam.segmentation.screening import EXACT

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.reference_generator import plain_decode

ENCODER = ViTConfig(
    image_size=1024, embed_dim=64, depth=1, num_heads=1, mlp_dim=64, global_attn_indexes=(0,)
)
SHARE = 0.7
BATCH = 64


def network() -> Sam:
    """Make a network whose masks and scores are spread as those of a trained one."""
    torch.manual_seed(0)
    model = Sam(SamConfig(encoder=ENCODER)).eval()
    with torch.no_grad():
        for weight in model.mask_decoder.transformer.parameters():
            if weight.ndim == 2:
                weight.mul_(3)
        for mlp in model.mask_decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(100)
        for layer in model.mask_decoder.output_upscaling:
            if isinstance(layer, torch.nn.ConvTranspose2d):  # no checkerboard: masks have outlines
                layer.weight.copy_(layer.weight[:, :, :1, :1].expand_as(layer.weight))
        model.mask_decoder.iou_prediction_head.layers[-1].bias.fill_(0.5)
    return model


class Watch:
    """Sums seconds by stage."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to a stage."""
        now = time.perf_counter()
        self.spent[stage] += now - self._last
        self._last = now


@torch.inference_mode()
def plain(predictor, embedding, points, config, watch) -> list[tuple[float, np.ndarray]]:
    """Do as the official generator does; returns scores and run lengths of the masks."""
    rows, cols = embedding.geometry.scale
    at = torch.from_numpy((points[:, ::-1] * (cols, rows)).astype(np.float32))
    boxes, scores, runs = [], [], []
    for start in range(0, len(at), BATCH):
        logits, iou = plain_decode(predictor.model, embedding, at[start : start + BATCH])
        logits, iou = logits.flatten(0, 1), iou.flatten()
        watch.lap("decode")
        full = predictor.upscale(embedding, logits)
        watch.lap("resize")
        good = iou > config.pred_iou_thresh
        full, iou = full[good], iou[good]
        stability = stability_score(full, config.stability_score_offset)
        good = stability >= config.stability_score_thresh
        full, iou = full[good], iou[good]
        masks = full > 0
        boxes.append(mask_boxes(masks))
        scores.append(iou)
        watch.lap("filter")
        runs += [encode_mask(mask) for mask in masks.numpy()]
        watch.lap("run lengths")
    boxes, scores = torch.cat(boxes).numpy() - (0, 0, 1, 1), torch.cat(scores).numpy()
    kept = non_maximum_suppression(boxes, scores, config.box_nms_thresh)
    watch.lap("filter")
    return [(float(scores[index]), runs[index]) for index in kept]


@torch.inference_mode()
def fast(predictor, embedding, points, config, watch) -> list[tuple[float, np.ndarray]]:
    """Do as `generate_masks` does, stage by stage; screened, if the predictor screens."""
    shape = embedding.image_shape
    full = predictor.full_resolution(embedding)
    crop = Crop((0, 0, *shape), points)
    timed = Timed(predictor, watch)
    embedded = grid.EmbeddedCrop(timed, embedding, full, crop, config, shape)
    found = run(embedded.iter_found(screening=embedded.can_be_screened))
    found = run(embedded.iter_unique(found))
    watch.lap("filter")
    records = found.records()
    watch.lap("resize")
    runs = [(r.predicted_iou, encode_mask(r.full_mask(shape))) for r in records]
    watch.lap("run lengths")
    return runs


class Timed:
    """A predictor whose decoding is timed; what happens in between is filtering."""

    def __init__(self, predictor: Predictor, watch: Watch) -> None:
        self._predictor, self._watch = predictor, watch
        self.screening_margins = predictor.screening_margins

    def iter_points(self, *given, screening):
        """Decode points at first, or those again that a screening left open."""
        first = screening or self.screening_margins == EXACT
        self._watch.lap("filter")
        yield from self._predictor.iter_points(*given, screening=screening)
        self._watch.lap("decode" if first else "decode again")


def matched(found, expected) -> str:
    """Tell how many of the expected masks were found at an IoU of 0.98, and the worst score."""
    masks = [decode_mask(runs) for _, runs in found]
    equal = same = 0
    worst = 0.0
    for score, runs in expected:
        mask = decode_mask(runs)
        ious = [(mask & one).sum() / (mask | one).sum() for one in masks]
        best = int(np.argmax(ious)) if ious else -1
        if best >= 0 and ious[best] >= 0.98:
            same += 1
            equal += ious[best] == 1
            worst = max(worst, abs(found[best][0] - score))
    return (
        f"{len(found)} records of {len(expected)}: {same} matched, {equal} of them equal to the "
        f"last pixel; scores differ by {worst:.1g} at most"
    )


def settings(predictor, embedding, points) -> EverythingConfig:
    """Choose thresholds that let as many pass as usual."""
    some = points[:: max(1, len(points) // 64)]
    masks = [answer.masks for answer in predictor.iter_points(embedding, some, -9.0)]
    scores = torch.cat([one.predicted_iou for one in masks])
    least = float(scores.quantile(1 - SHARE))
    if not 0 <= least <= 1:
        raise ValueError(f"The random network scores {least}; choose another seed")
    full = predictor.full_resolution(embedding)
    stability = torch.cat([full.measure(one, 1.0).stability for one in masks])
    return EverythingConfig(
        mode="grid",
        pred_iou_thresh=least,
        stability_score_thresh=float(stability.quantile(0.5)),
        box_nms_thresh=0.98,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=16, help="along one side")
    parser.add_argument("--side", type=int, default=1024, help="pixels of the image")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--precision", default="float32", help="of a third run, that screens")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    side = arguments.side
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), side / 40)
    model = network()
    predictor = Predictor(model, precision="float32")
    embedding = predictor.embed(image)
    points = grid_points(arguments.points) * side
    config = settings(predictor, embedding, points)
    ways = {"plain": (plain, predictor), "float32": (fast, predictor)}
    if arguments.precision != "float32":
        ways[arguments.precision] = fast, Predictor(model, precision=arguments.precision)
    spent, results = {}, {}
    for name, (way, asked) in ways.items():
        watch = Watch()
        results[name] = way(asked, embedding, points, config, watch)
        spent[name] = {**watch.spent, "total": watch.spent.total()}
    for name in list(ways)[1:]:
        print(f"{name}: {matched(results[name], results['plain'])}")
    print(f"| ms a point | {' | '.join(ways)} | ratios |\n|{'---|' * (len(ways) + 2)}")
    for stage in dict.fromkeys(stage for times in spent.values() for stage in times):
        times = [1000 * one.get(stage, 0) / len(points) for one in spent.values()]
        ratios = ", ".join(f"{times[0] / max(one, 1e-9):.1f}" for one in times[1:])
        print(f"| {stage} | {' | '.join(f'{one:.1f}' for one in times)} | {ratios} |")


if __name__ == "__main__":
    main()
