"""Nonzero medians of genes over a corpus, and the vocabularies fitted from them."""
