"""Builders of architectures: one file for each way in which layers are laid out."""
