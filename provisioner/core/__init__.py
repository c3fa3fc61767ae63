"""Pure decisions: the node model, the state table, plans, placement, leases, diagnosis.

Nothing here acts: no sockets, processes, clock or randomness.
"""
