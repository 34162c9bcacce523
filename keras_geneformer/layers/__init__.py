"""Keras layers: attention, encoder block, embeddings, masked-LM head, pooling."""

from keras_geneformer.backend import require_backend

require_backend()
