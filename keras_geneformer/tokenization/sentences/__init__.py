"""Cell sentences (Cell2Sentence): genes named in the order of their expression."""
