"""What one step sees: length buckets, masking, collation, and the loader that feeds a model."""
