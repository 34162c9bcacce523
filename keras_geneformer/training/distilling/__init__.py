"""From a large model to a smaller one that gives nearly what it gives."""
