"""Attention kinds, one file each."""
