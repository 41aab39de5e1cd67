"""Recipes: what ships, and what is refused by name."""

import pytest

from napari_sam.training.recipe import Recipe, read_recipe

SHIPPED = ["nano", "nano_cpu", "nano_rater", "nano_instances", "finetune"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_recipes_read(name):
    recipe = read_recipe(name)
    assert recipe.sam_config().instances
    assert sum(recipe.sources.values()) == pytest.approx(0 if name == "finetune" else 1)


def test_files_with_faults(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("lerning_rate = 1.0\n")
    with pytest.raises(ValueError, match="lerning_rate"):
        read_recipe(path)
    path.write_text('steps = "3"\n')
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got '3'"):
        read_recipe(path)
    path.write_text("steps = \n")
    with pytest.raises(ValueError, match=r"r\.toml is no TOML file"):
        read_recipe(path)
    with pytest.raises(FileNotFoundError, match="nanoo"):
        read_recipe("nanoo")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kept_share": 1.5}, "kept_share must lie between 0 and 1"),
        ({"ema": float("nan")}, "ema must lie"),
        ({"hint_share": True}, "hint_share must lie"),
        ({"crop_size": 100}, "multiple of 32"),
        ({"crop_size": 64, "windows": ((16, 1.0),)}, "exceed"),
        ({"windows": ()}, "windows must be pairs"),
        ({"windows": 16}, "windows must be pairs"),
        ({"rounds": ((1, 0.0),)}, "rounds must be pairs"),
        ({"rounds": ((0, 1.0),)}, "rounds must be pairs"),
        ({"warmup": -1}, "warmup must be a whole number of at least 0"),
        ({"learning_rate": -1e-3}, "learning_rate must be a number of at least 0"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"tune": 3}, "tune must be text"),
        ({"sources": {"mine": "often"}}, "sources must be a table"),
        ({"network": {"encoder": {"channels": [8, 16, 16, 16, 16]}}}, "multiples of 16"),
        ({"network": {"encoder": {"channels": 16}}}, r"network\.encoder\.channels must be 5"),
        ({"network": {"encoder": {"chanels": 16}}}, r"no setting network\.encoder\.chanels"),
        ({"network": {"decoder": {"depth": "2"}}}, r"network\.decoder\.depth must be a whole"),
        ({"network": {"decoder": {"mask_scorer": 1}}}, "mask_scorer must be true or false"),
        ({"network": {"decoder": 3}}, r"network\.decoder must be a table"),
        ({"network": {"object_diametre": 40.0}}, r"no setting network\.object_diametre"),
        ({"network": {"object_diameter": 0}}, r"network\.object_diameter must be a number above"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**settings)


COUNTS = ["steps", "fits", "parts", "part_size", "objects_per_part", "checkpoint_every"]


@pytest.mark.parametrize("name", [*COUNTS, "evaluate_every", "crop_size"])
@pytest.mark.parametrize("value", [0, 2.0, "3"])
def test_counts_are_whole_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
        Recipe(**{name: value})
