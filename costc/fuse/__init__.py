"""Fusion: which operators run as one kernel. Changes bytes and launches, never FLOPs."""

from costc.fuse.passes import PASSES, fuse

__all__ = ["PASSES", "fuse"]
