"""Published checkpoints: the table of keys, and the readers of their files; knows no model."""
