import json

import numpy as np
import pytest
from skimage.io import imread

from napari_sam.training.evaluate import EvaluateConfig, evaluate
from napari_sam.training.figures import draw_cases, overlay
from napari_sam.training.samples import Sample
from tests.oracle import OraclePredictor


def drawn(source: str, **tags: str) -> Sample:
    labels = np.zeros((40, 50), int)
    labels[5:15, 5:15], labels[20:35, 25:45] = 1, 2
    return Sample(name="drawn", source=source, image=(labels > 0) * 1.0, labels=labels, tags=tags)


def test_the_oracle_scores_one():
    config = EvaluateConfig(modes=("instances",), clicks=2)
    result = evaluate(OraclePredictor(), [drawn("a"), drawn("b")], config)
    for source in ("a", "b", "all"):
        row = result.scores[source]
        for name in ("1 click", "2 clicks", "1 click, oracle", "box", "AP50, instances"):
            assert row[name] == 1, name
        for name in ("IoU error", "IoU error, 2 clicks", "IoU error, box"):
            assert row[name] == pytest.approx(0.05), name
        assert row["NoC@85"] == 1
    assert result.n_objects == {"a": 2, "b": 2, "all": 4}


def test_a_blind_predictor_scores_zero():
    row = evaluate(OraclePredictor(threshold=2), [drawn("a")]).scores["a"]
    assert row["1 click"] == row["box"] == row["AP50, instances"] == 0
    assert row["1 click, Otsu"] > 0.7
    assert row["NoC@85"] == 10


def test_clicks_are_counted_up_to_the_target():
    """Components touch: the first click finds both, a negative one parts them."""
    sample = drawn("a")
    sample.image[10:25, 14:26] = 1
    config = EvaluateConfig(clicks=1, most_clicks=4, modes=())
    row = evaluate(OraclePredictor(), [sample], config).scores["a"]
    assert 0 < row["1 click"] < 0.85
    assert row["NoC@85"] == 4


def test_a_model_without_an_instance_decoder_is_scored_by_its_prompts():
    plain = OraclePredictor(has_instance_decoder=False)
    row = evaluate(plain, [drawn("a")], EvaluateConfig(clicks=1, most_clicks=1)).scores["a"]
    assert row["1 click"] == 1
    assert "AP50, instances" not in row
    with pytest.raises(ValueError, match="no mode 'prompts' to score"):
        evaluate(plain, [drawn("a")], EvaluateConfig(modes=("grid", "prompts")))
    assert plain.n_embed == 1


def test_an_unknown_mode_is_refused_at_once():
    with pytest.raises(ValueError, match="mode"):
        EvaluateConfig(modes=("instance",))


def test_a_pixel_that_is_no_number_stops_no_evaluation():
    sample = drawn("a")
    sample.image[0, 0] = np.nan
    with pytest.warns(UserWarning, match="NaN"):
        row = evaluate(OraclePredictor(), [sample], EvaluateConfig(clicks=1)).scores["a"]
    assert row["1 click, Otsu"] > 0.7


def test_scores_by_a_tag():
    samples = [drawn("a", look="x"), drawn("a", look="y"), drawn("b", look="y")]
    result = evaluate(OraclePredictor(), samples, EvaluateConfig(clicks=1))
    assert set(result.by("look")) == {"x", "y"}
    assert "| look | objects |" in result.table("look")
    assert "| y | 4 |" in result.table("look")
    with pytest.raises(KeyError, match="known: look"):
        result.by("colour")


def test_few_images_of_each_source():
    samples = [drawn("a") for _ in range(5)] + [drawn("b")]
    result = evaluate(OraclePredictor(), samples, EvaluateConfig(clicks=1, max_images=2))
    assert result.n_objects == {"a": 4, "b": 2, "all": 6}
    with pytest.raises(ValueError, match="max_images"):
        EvaluateConfig(max_images=0)


def test_the_worst_are_drawn(tmp_path):
    samples = [drawn("a"), drawn("b")]
    config = EvaluateConfig(clicks=1, modes=())
    draw_cases(evaluate(OraclePredictor(threshold=2), samples, config), tmp_path / "w.png")
    sheet = imread(tmp_path / "w.png")
    assert sheet.shape == (4 * 174, 2 * 160, 3)
    assert (sheet == (60, 220, 90)).all(-1).sum() > 200
    assert not (sheet == (255, 70, 70)).all(-1).any()
    draw_cases(evaluate(OraclePredictor(), samples, config), tmp_path / "w.png")
    assert (imread(tmp_path / "w.png") == (255, 70, 70)).all(-1).sum() > 100


def test_table_and_json(tmp_path):
    result = evaluate(OraclePredictor(), [drawn("a")])
    assert "| a | 2 |" in result.table()
    result.write_json(tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["scores"]["a"]["box"] == 1


def test_what_is_found_where_nothing_is_counts_as_false(tmp_path):
    bright = drawn("a")
    empty = Sample(name="e", source="a", image=bright.image, labels=0 * bright.labels)
    dark = Sample(name="d", source="b", image=0 * bright.image, labels=0 * bright.labels)
    config = EvaluateConfig(clicks=1, most_clicks=1)
    result = evaluate(OraclePredictor(), [bright, empty, dark], config)
    assert result.scores["a"]["AP50, instances"] == 0.5
    assert result.scores["b"]["AP50, instances"] == 1
    assert result.scores["a"]["1 click"] == 1
    assert "| b | 0 | - |" in result.table()
    draw_cases(evaluate(OraclePredictor(), [dark], config), tmp_path / "w.png")
    assert (tmp_path / "w.png").is_file()


def test_nothing_to_evaluate_on():
    with pytest.raises(ValueError, match="no samples"):
        evaluate(OraclePredictor(), [])


def test_outlines_are_drawn_over_large_and_small_images():
    labels = np.zeros((400, 700), int)
    labels[100:300, 200:500] = 1
    drawing = overlay(labels * 1.0, labels, side=350)
    assert drawing.shape == (200, 350, 3)
    assert (drawing[50, 100:250] == (255, 70, 70)).all()
    assert overlay(np.zeros((3, 5)), np.zeros((3, 5), int), side=50).shape == (30, 50, 3)
