"""Racks as people describe them: the rack file, the state folder, the inventory."""
