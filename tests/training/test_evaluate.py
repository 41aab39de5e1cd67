import json

import numpy as np
import pytest

from napari_sam.training.evaluate import EvaluateConfig, evaluate
from napari_sam.training.samples import Sample
from tests.oracle import OraclePredictor


def drawn(source: str) -> Sample:
    labels = np.zeros((40, 50), int)
    labels[5:15, 5:15], labels[20:35, 25:45] = 1, 2
    return Sample(name="drawn", source=source, image=(labels > 0) * 1.0, labels=labels)


def test_the_oracle_scores_one():
    config = EvaluateConfig(modes=("instances",), clicks=2)
    result = evaluate(OraclePredictor(), [drawn("a"), drawn("b")], config)
    for source in ("a", "b", "all"):
        row = result.scores[source]
        for name in ("1 click", "2 clicks", "1 click, oracle", "box", "AP50, instances"):
            assert row[name] == 1, name
        assert row["IoU error"] == pytest.approx(0.05)
    assert result.n_objects == {"a": 2, "b": 2, "all": 4}


def test_a_blind_predictor_scores_zero():
    row = evaluate(OraclePredictor(threshold=2), [drawn("a")]).scores["a"]
    assert row["1 click"] == row["box"] == row["AP50, instances"] == 0
    assert row["1 click, Otsu"] > 0.7


def test_table_and_json(tmp_path):
    result = evaluate(OraclePredictor(), [drawn("a")])
    assert "| a | 2 |" in result.table()
    result.write_json(tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["scores"]["a"]["box"] == 1


def test_nothing_to_evaluate_on():
    with pytest.raises(ValueError, match="no samples"):
        evaluate(OraclePredictor(), [])
