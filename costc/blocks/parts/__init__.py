"""What several block kinds are made of: cores of attention and of scans, convolutions, indexers."""
