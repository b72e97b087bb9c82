"""Output targets, one file each."""
