"""Fewer weights that learn, fewer bits a weight, fewer weights: for any Keras layer or model."""

from keras_geneformer.backend import require_backend

require_backend()
