"""Published checkpoints: the table of keys, and the readers of their files. Knows no model class."""
