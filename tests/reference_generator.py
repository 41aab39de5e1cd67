"""The paper's automatic mask generation, slowly: one obvious step a line, no cleverness.

Kirillov et al. 2023, appendix B, in the order of the official code: every candidate of every point
is resized to the image, then filtered. The decoder is computed as it is drawn in the paper, from
the network's own weights (of `nano`, whose decoder is its own, by the predictor, a point a call).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from napari_sam.model.sam import PromptBatch
from napari_sam.segmentation.images import check_image, contrast_range
from napari_sam.segmentation.prompts import Prompts


@dataclass
class Found:
    """A mask of the whole image (H, W), and its scores."""

    mask: np.ndarray
    iou: float
    stability: float
    box: tuple[int, int, int, int]
    crop: tuple[int, int, int, int]


def plain_decode(model, embedding, points_xy):
    """Decode single points (N, 2), (x, y) of the input, in the paper's order of products."""
    decoder, transformer = model.mask_decoder, model.mask_decoder.transformer
    labels = torch.ones(len(points_xy), 1, dtype=torch.long)
    sparse, dense = model.prompt_encoder(*PromptBatch(points_xy[:, None], labels))
    image = (embedding.features + dense).repeat(len(points_xy), 1, 1, 1)
    grid = image.shape[-2:]
    image_pe = model.prompt_encoder.dense_positions(*grid).flatten(2).transpose(1, 2)
    image = image.flatten(2).transpose(1, 2)
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = token_pe = torch.cat([output.expand(len(sparse), -1, -1), sparse], dim=1)
    image_pe = image_pe.expand(len(sparse), -1, -1)
    for layer in transformer.layers:
        if layer.first:
            tokens = layer.norm1(_attend(layer.self_attn, tokens, tokens, tokens))
        else:
            placed = tokens + token_pe
            tokens = layer.norm1(tokens + _attend(layer.self_attn, placed, placed, tokens))
        attention = layer.cross_attn_token_to_image
        seen = _attend(attention, tokens + token_pe, image + image_pe, image)
        tokens = layer.norm2(tokens + seen)
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        attention = layer.cross_attn_image_to_token
        told = _attend(attention, image + image_pe, tokens + token_pe, tokens)
        image = layer.norm4(image + told)
    attention = transformer.final_attn_token_to_image
    tokens = tokens + _attend(attention, tokens + token_pe, image + image_pe, image)
    tokens = transformer.norm_final_attn(tokens)
    upscaled = decoder.output_upscaling(image.transpose(1, 2).unflatten(2, grid))
    mlps = decoder.output_hypernetworks_mlps
    weights = torch.stack([mlp(tokens[:, 1 + index]) for index, mlp in enumerate(mlps)], dim=1)
    logits = torch.einsum("bmc,bchw->bmhw", weights, upscaled)
    return logits[:, 1:], decoder.iou_prediction_head(tokens[:, 0])[:, 1:]


def _attend(attention, query, key, value):
    """Attention as it is written: softmax(q k^T / sqrt(d)) v, in each head."""
    heads = (attention.num_heads, -1)
    q, k, v = (
        projection(x).unflatten(2, heads).transpose(1, 2)
        for projection, x in (
            (attention.q_proj, query),
            (attention.k_proj, key),
            (attention.v_proj, value),
        )
    )
    shares = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
    return attention.out_proj((shares @ v).transpose(1, 2).flatten(2))


def reference_masks(predictor, image, config) -> list[Found]:
    """Generate masks."""
    shape = check_image(image)
    limits = None
    if not (image.ndim == 3 and image.dtype == np.uint8):
        limits = contrast_range(image)
    found = []
    for crop, layer in reference_crops(shape, config.crop_n_layers, config.crop_overlap_ratio):
        side = int(config.points_per_side / config.crop_n_points_downscale_factor**layer)
        in_crop = _masks_in_crop(predictor, image, crop, side, config, limits)
        kept = _nms([f.box for f in in_crop], [f.iou for f in in_crop], config.box_nms_thresh)
        found += [in_crop[index] for index in kept]
    if config.crop_n_layers:
        scores = [1 / ((f.crop[2] - f.crop[0]) * (f.crop[3] - f.crop[1])) for f in found]
        kept = _nms([f.box for f in found], scores, config.crop_nms_thresh)
        found = [found[index] for index in kept]
    if config.min_mask_region_area:
        found = _without_small_regions(found, config)
    return found


def reference_crops(shape, n_layers, overlap_ratio):
    """The whole image, then 4 crops, then 16, ..., each with its layer."""
    height, width = shape
    crops = [((0, 0, height, width), 0)]
    for layer in range(1, n_layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / per_side))
        crop_width = int(np.ceil((overlap * (per_side - 1) + width) / per_side))
        crop_height = int(np.ceil((overlap * (per_side - 1) + height) / per_side))
        for column in range(per_side):
            for row in range(per_side):
                left, top = (crop_width - overlap) * column, (crop_height - overlap) * row
                bottom, right = min(top + crop_height, height), min(left + crop_width, width)
                crops.append(((top, left, bottom, right), layer))
    return crops


def _masks_in_crop(predictor, image, crop, side, config, limits) -> list[Found]:
    top, left, bottom, right = crop
    view = image[top:bottom, left:right]
    diameter = config.object_diameter
    embedding = predictor.embed(view, contrast_limits=limits, object_diameter=diameter)
    geometry = embedding.geometry
    low, offset = config.stability_score_thresh, config.stability_score_offset
    found = []
    for row in range(side):
        for col in range(side):
            point = (row + 0.5) / side * view.shape[0], (col + 0.5) / side * view.shape[1]
            logits, scores = _decoded(predictor, embedding, point)
            full = _resized(logits, geometry)[0]
            for mask, iou in zip(full, scores[0], strict=True):
                stability = (mask > offset).sum() / (mask > -offset).sum().clamp(min=1)
                if not (iou > config.pred_iou_thresh and stability >= low and (mask > 0).any()):
                    continue
                whole = np.zeros(image.shape[:2], bool)
                whole[top:bottom, left:right] = (mask > 0).numpy()
                box = _box(whole)
                if not _cut_by_crop(box, crop, image.shape[:2]):
                    found.append(Found(whole, float(iou), float(stability), box, crop))
    return found


@torch.inference_mode()
def _decoded(predictor, embedding, point):
    if embedding.image.skips:
        return predictor.decode(embedding, [Prompts(points=[point])])
    y, x = np.multiply(point, embedding.geometry.scale)
    return plain_decode(predictor.model, embedding, torch.tensor([[x, y]], dtype=torch.float32))


def _resized(logits, geometry):
    height, width = geometry.input_shape
    padded = functional.interpolate(logits, geometry.padded_shape, mode="bilinear")
    return functional.interpolate(
        padded[..., :height, :width], geometry.image_shape, mode="bilinear"
    )


def _box(mask) -> tuple[int, int, int, int]:
    """(row, col) of the first and of the last pixel."""
    rows, cols = np.nonzero(mask)
    return int(rows.min()), int(cols.min()), int(rows.max()), int(cols.max())


def _cut_by_crop(box, crop, shape) -> bool:
    image = (0, 0, *shape)
    near_crop = [abs(at - edge) <= 20 for at, edge in zip(box, crop, strict=True)]
    near_image = [abs(at - edge) <= 20 for at, edge in zip(box, image, strict=True)]
    return any(c and not i for c, i in zip(near_crop, near_image, strict=True))


def _nms(boxes, scores, thresh) -> list[int]:
    """Greedy: the best stays, what overlaps it by more than the threshold goes, and again."""
    left = sorted(range(len(boxes)), key=lambda index: -np.float64(scores[index]))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [index for index in left if _box_iou(boxes[best], boxes[index]) <= thresh]
    return kept


def _box_iou(one, other) -> float:
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    overlap = max(height, 0) * max(width, 0)
    area = (one[2] - one[0]) * (one[3] - one[1])
    other_area = (other[2] - other[0]) * (other[3] - other[1])
    return overlap / max(area + other_area - overlap, 1e-9)


def _without_small_regions(found, config) -> list[Found]:
    scores = []
    for one in found:
        mask, filled = _repaired(one.mask, config.min_mask_region_area, holes=True)
        mask, cleared = _repaired(mask, config.min_mask_region_area, holes=False)
        scores.append(0.0 if filled or cleared else 1.0)
        one.mask, one.box = mask, _box(mask)
    thresh = max(config.box_nms_thresh, config.crop_nms_thresh)
    return [found[index] for index in _nms([one.box for one in found], scores, thresh)]


def _repaired(mask, min_area, *, holes):
    """Fill small holes, or drop small islands; of islands that are all small, keep the largest."""
    regions, count = ndimage.label(~mask if holes else mask, np.ones((3, 3)))
    areas = [int((regions == number).sum()) for number in range(1, count + 1)]
    small = [number for number, area in enumerate(areas, start=1) if area < min_area]
    if not small:
        return mask, False
    if not holes and len(small) == count:
        small.remove(1 + int(np.argmax(areas)))
    gone = np.isin(regions, small)
    return (mask | gone if holes else mask & ~gone), True
