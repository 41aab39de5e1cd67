"""Ground truth: samples, synthetic scenes, training, evaluation."""
