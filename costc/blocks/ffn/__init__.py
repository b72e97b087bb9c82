"""FFN kinds, one file each."""
