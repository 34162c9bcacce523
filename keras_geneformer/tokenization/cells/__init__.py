"""Tokenized cells: in memory, on disk, and what is done with them."""
