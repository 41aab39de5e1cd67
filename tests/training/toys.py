"""Small recipes that train in moments."""

from napari_sam.training.recipe import Recipe

TINY = Recipe(
    network={
        "object_diameter": 24.0,
        "encoder": {
            "channels": [16, 16, 16, 16, 16],
            "blocks": [1, 1, 1, 1, 1],
            "out_channels": 32,
        },
        "decoder": {
            "num_heads": 2,
            "mlp_dim": 32,
            "attention_dim": 16,
            "iou_head_hidden_dim": 32,
        },
    },
    steps=4,
    encoder_share=0.25,
    frozen_norm_share=0.25,
    parts=2,
    part_size=1,
    crop_size=64,
    sources={"synthetic": 1.0},
    objects_per_part=4,
    windows=((4, 0.5), (8, 0.5)),
    warmup=2,
    checkpoint_every=2,
)
