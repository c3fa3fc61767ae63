"""What people write for us: the configuration and node files."""
