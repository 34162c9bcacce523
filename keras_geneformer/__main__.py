"""`python -m keras_geneformer` is the command `keras-geneformer`."""

import sys

from keras_geneformer.cli import main

sys.exit(main())
