"""How good a method is, and whether it is better than another: folds, baselines, statistics."""
