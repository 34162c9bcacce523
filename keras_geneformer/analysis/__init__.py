"""Reading a trained model: cell embeddings and in silico perturbation."""

from keras_geneformer.backend import require_backend

require_backend()
