"""A compute host: owns nodes by a lease, runs their plans, serves their boots."""
