"""Genes: vocabularies, where they come from, and the tables that name genes."""
