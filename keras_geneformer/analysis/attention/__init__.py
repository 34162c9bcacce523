"""What genes attend to: sums over cells by gene and by head, their tests, and rollout."""
