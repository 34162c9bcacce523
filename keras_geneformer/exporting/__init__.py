"""Models for other runtimes: SavedModel, ONNX, LiteRT and OpenVINO (docs/exporting.md)."""
