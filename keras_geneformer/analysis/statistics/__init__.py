"""Statistics of in silico perturbation: which genes move cells, against what, and how surely."""
