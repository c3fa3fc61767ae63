"""What the layers above expect of those below: one small protocol per capability.

The docstring is the contract. A capability that is missing is a protocol not implemented,
never a method that raises.
"""
