"""How quick everything by a grid of points is: the official steps against this project's.

Both decode the same points of the same image with one network of the official decoder's size; the
plain way in the official order (every candidate of a batch of 64 is decoded in full, resized to
the image, measured, filtered, encoded as run lengths). The weights are random, so the thresholds
are set by their own scores: as many candidates pass as with official weights on a photograph (70 %
the predicted IoU). Outputs are compared. Embedding is left out: it is the same.

    python benchmarks/everything_speed.py [--points 16] [--side 1024] [--threads N]
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
from napari_sam.segmentation.full_resolution import LowResMasks
from napari_sam.segmentation.masks import mask_boxes, non_maximum_suppression, stability_score
from napari_sam.segmentation.predictor import Predictor
from napari_sam.segmentation.rle import encode_mask

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
    watch.lap("suppress")
    return [(float(scores[index]), runs[index]) for index in kept]


@torch.inference_mode()
def fast(predictor, embedding, points, config, watch) -> list[tuple[float, np.ndarray]]:
    """Do as `generate_masks` does, stage by stage."""
    shape = embedding.image_shape
    crop = grid.Crop((0, 0, *shape), points)
    full, parts = predictor.full_resolution(embedding), []
    for start in range(0, len(points), BATCH):
        some = points[start : start + BATCH]
        answers = predictor.iter_points(embedding, some, config.pred_iou_thresh)
        masks = LowResMasks.joined(answer.masks for answer in answers)
        watch.lap("decode")
        placed = masks._replace(origins=masks.origins.cpu() + start)
        parts.append(grid.filtered(placed, full, crop, config, shape))
        watch.lap("filter")
    found = grid.joined(parts).without_duplicates(config.box_nms_thresh)
    watch.lap("suppress")
    records = found.records()
    watch.lap("resize")
    runs = [(r.predicted_iou, encode_mask(r.full_mask(shape))) for r in records]
    watch.lap("run lengths")
    return runs


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
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    side = arguments.side
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), side / 40)
    predictor = Predictor(network(), precision="float32")
    embedding = predictor.embed(image)
    points = grid.grid_points(arguments.points) * side
    config = settings(predictor, embedding, points)
    results, watches = [], []
    for way in (plain, fast):
        watch = Watch()
        results.append(way(predictor, embedding, points, config, watch))
        watches.append(watch.spent)
    same = [
        np.array_equal(one[1].counts, other[1].counts) and abs(one[0] - other[0]) < 1e-3
        for one, other in zip(*results, strict=True)
    ]
    print(f"{len(same)} records, {sum(same)} of them equal to the last pixel")
    print("| stage | plain, ms a point | fast, ms a point | ratio |\n|---|---|---|---|")
    for stage in (*watches[0], "total"):
        one, other = (
            1000 * (spent.total() if stage == "total" else spent[stage]) / len(points)
            for spent in watches
        )
        print(f"| {stage} | {one:.1f} | {other:.1f} | {one / max(other, 1e-9):.1f} |")


if __name__ == "__main__":
    main()
