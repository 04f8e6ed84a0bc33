"""Engines draw frames from a model; the reference runs every family."""
