"""In silico perturbation: what becomes of a cell when genes are taken away or moved."""
