"""Recipes: pretraining, fine-tuning, prediction, and the pieces they share."""

from keras_geneformer.backend import require_backend

require_backend()
