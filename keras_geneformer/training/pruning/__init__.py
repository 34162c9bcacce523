"""From a model and cells to a smaller model: heads, units and weights by what they are worth."""
