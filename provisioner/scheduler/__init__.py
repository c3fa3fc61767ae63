"""Gives requested instances to nodes."""
