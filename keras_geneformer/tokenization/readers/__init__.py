"""Files of counts, read some rows at a time: one module a format."""
