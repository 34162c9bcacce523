"""Keras models: backbone, masked LM, classifiers, named sizes, presets."""

from keras_geneformer.backend import require_backend

require_backend()
