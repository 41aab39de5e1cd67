"""Segment Anything as one module: encode an image once, decode any number of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_sam.model.configs import SamConfig, ViTConfig
from napari_sam.model.conv_encoder import ConvImageEncoder
from napari_sam.model.image_encoder import ImageEncoderViT
from napari_sam.model.image_tokens import ImageTokens, by_token
from napari_sam.model.instance_decoder import InstanceDecoder
from napari_sam.model.kind_decoder import KindDecoder
from napari_sam.model.local_prompts import LocalPrompts
from napari_sam.model.mask_decoder import MaskDecoder
from napari_sam.model.prompt_encoder import PromptEncoder
from napari_sam.model.rater import INSTANCE_EVIDENCE, Rater
from napari_sam.model.size_decoder import SizeDecoder, mean_votes
from napari_sam.model.unetr_decoder import UnetrDecoder

_CONSTANTS = {"pixel_mean": (123.675, 116.28, 103.53), "pixel_std": (58.395, 57.12, 57.375)}
"""Mean and standard deviation of the training images' red, green and blue, of 0 ... 255."""


class EncodedImage(NamedTuple):
    """What the image encoder knows of B images.

    Attributes
    ----------
    features : Tensor
        (B, C, h, w).
    skips : tuple of Tensor
        (B, C / 4, 2 h, 2 w) and (B, C / 8, 4 h, 4 w), or empty.
    """

    features: Tensor
    skips: tuple[Tensor, ...] = ()


class PromptBatch(NamedTuple):
    """The prompts of B objects, in pixels (x, y) of the network's input.

    Attributes
    ----------
    points, labels : Tensor or None
        (B, N, 2), and (B, N) of 1 foreground, 0 background, -1 padding.
    boxes : Tensor or None
        (B, 4), (x_min, y_min, x_max, y_max).
    masks : Tensor or None
        (B, 1, 4 h, 4 w) low-resolution logits.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None

    @property
    def n_objects(self) -> int:
        """The number of objects, B."""
        return next((len(given) for given in self if given is not None), 1)

    def shifted(self, origin: Tensor) -> PromptBatch:
        """Return the prompts with origin (B, 2) added to their coordinates."""
        points = None if self.points is None else self.points + origin[:, None]
        boxes = None if self.boxes is None else self.boxes + origin.repeat(1, 2)
        return self._replace(points=points, boxes=boxes)

    def of(self, objects: Sequence[int]) -> PromptBatch:
        """Return the prompts of some of the objects."""
        rows = list(objects)
        return PromptBatch(*(None if given is None else given[rows] for given in self))


class Sam(nn.Module):
    """The whole network.

    Parameters
    ----------
    config : SamConfig
        Its shape. The weights are random until a checkpoint is loaded.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        encoder, decoder = config.encoder, config.decoder
        dim = encoder.out_channels
        self.config = config
        self.image_encoder: nn.Module
        if isinstance(encoder, ViTConfig):
            self.image_encoder = ImageEncoderViT(encoder)
            span = encoder.image_size
        else:
            self.image_encoder = ConvImageEncoder(encoder)
            span = encoder.position_range
        self.prompt_encoder = PromptEncoder(dim, span, encoder.stride, decoder.mask_in_chans)
        self.mask_decoder = MaskDecoder(dim, decoder)
        self.local_prompts = LocalPrompts(dim, encoder.stride) if decoder.local_prompts else None
        self.instance_decoder: InstanceDecoder | UnetrDecoder | None = None
        if config.unetr is not None:
            self.instance_decoder = UnetrDecoder(dim, config.unetr)
        elif config.instances:
            self.instance_decoder = InstanceDecoder(dim, config.instance_stride)
        self.size_decoder = SizeDecoder(dim) if config.sizes else None
        self.kind_decoder = KindDecoder(dim) if config.kinds else None
        self.rater = Rater() if config.rater else None
        self.instance_rater = Rater(len(INSTANCE_EVIDENCE)) if config.instance_rater else None
        for name, values in _CONSTANTS.items():
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def reset_constants(self) -> None:
        """Set the buffers that no checkpoint holds (needed after building on the meta device)."""
        for name, values in _CONSTANTS.items():
            getattr(self, name).copy_(torch.tensor(values)[:, None, None])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.pixel_mean.device

    def normalise(self, pixels: Tensor) -> Tensor:
        """Scale pixels (B, 3, H, W) from 0 ... 255 to what the encoders were trained on."""
        return (pixels - self.pixel_mean) / self.pixel_std

    def encode(self, pixels: Tensor) -> EncodedImage:
        """Encode normalised and padded pixels (B, 3, H, W)."""
        return EncodedImage(*self.image_encoder(pixels))

    def lay_out(self, image: EncodedImage, origin: Tensor | None = None) -> ImageTokens:
        """Prepare images for the decoder, once for all prompts.

        Parameters
        ----------
        image : EncodedImage
            Of B images.
        origin : Tensor, optional
            As in `decode`.
        """
        height, width = image.features.shape[-2:]
        positions = self.prompt_encoder.dense_positions(height, width, origin)
        return ImageTokens(
            by_token(image.features, 0),
            by_token(positions, 0),
            tuple(by_token(skip, step) for step, skip in enumerate(image.skips, start=1)),
        )

    def decode(
        self, image: EncodedImage, prompts: PromptBatch, origin: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decode B objects.

        Parameters
        ----------
        image : EncodedImage
            Of one image for all objects, or of B images, one for each.
        prompts : PromptBatch
            In pixels from the corner of that image.
        origin : Tensor, optional
            (B, 2) position (x, y) of each image's corner in the positional encoding; zero by
            default. Training moves it, so that positions mean the same everywhere.

        Returns
        -------
        logits, predicted_iou : Tensor
            (B, 1 + candidates, 4 h, 4 w) and (B, 1 + candidates).
        """
        return self.decode_tokens(self.lay_out(image, origin), prompts, origin)

    def decode_tokens(
        self, image: ImageTokens, prompts: PromptBatch, origin: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decode B objects on images that are laid out; otherwise as `decode`."""
        decoded: tuple[Tensor, Tensor] = self.mask_decoder(*self.prompted(image, prompts, origin))
        return decoded

    def prompted(
        self, image: ImageTokens, prompts: PromptBatch, origin: Tensor | None = None
    ) -> tuple[ImageTokens, Tensor]:
        """Encode prompts, as `decode_tokens` takes them, for the mask decoder.

        Returns
        -------
        image, sparse
            With dense prompts added, of one image where all objects share it, and (B, T, C) tokens.
        """
        count = max(prompts.n_objects, len(image.features))
        placed = prompts if origin is None else prompts.shifted(origin)
        sparse, dense = self.prompt_encoder(*placed)
        told = image._replace(features=image.features + dense.permute(0, 2, 3, 1).to(image.dtype))
        local = self.local_prompts
        if local is not None:
            points, labels = prompts.points, prompts.labels
            if points is not None and labels is not None:
                sampled = local.sample(image, points, labels)
                known = points.shape[1]
                sparse = torch.cat([sparse[:, :known] + sampled, sparse[:, known:]], dim=1)
            told = local(told, points, labels, prompts.boxes)
        return told, sparse.expand(count, -1, -1)

    def instance_maps(self, image: EncodedImage) -> Tensor:
        """Predict the instance decoder's logits (B, 3, H, W), of the input's height and width.

        Raises
        ------
        ValueError
            If this network has no instance decoder.
        """
        if self.instance_decoder is None:
            raise ValueError("This model has no instance decoder; use mode='grid'")
        maps: Tensor = self.instance_decoder(image.features, image.skips)
        stride = self.instance_decoder.stride
        if stride == 1:
            return maps
        return functional.interpolate(maps, scale_factor=float(stride), mode="bilinear")

    def kind_map(self, image: EncodedImage) -> Tensor:
        """Embed the tokens so that objects of one kind lie together, unit vectors (B, 32, h, w).

        Raises
        ------
        ValueError
            If this network has no kind decoder.
        """
        if self.kind_decoder is None:
            raise ValueError("This model has no kind decoder; compare its image features instead")
        vectors: Tensor = self.kind_decoder(image.features)
        return vectors

    def size_votes(self, image: EncodedImage, shape: tuple[int, int]) -> Tensor:
        """Judge how large the objects of B images are.

        Parameters
        ----------
        image : EncodedImage
            Of the images.
        shape : (int, int)
            Height and width of the images without padding, pixels.

        Returns
        -------
        Tensor
            (B, bins) log probabilities of the typical diameter; `bin_octaves` tells what each bin
            stands for.

        Raises
        ------
        ValueError
            If this network has no size decoder.
        """
        if self.size_decoder is None:
            raise ValueError("This model has no size decoder; give an object_diameter")
        return mean_votes(self.size_decoder(image.features), shape)
