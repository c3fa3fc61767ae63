"""The faults that a rack can be given, as data."""
