"""Genes and cells: vocabulary, readers, rank value encoding, the tokenized dataset. No backend."""
