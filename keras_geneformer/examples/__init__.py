"""Real cells to try things on: from a folder, from the web by checksum, or bundled."""
