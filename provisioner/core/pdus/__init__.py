"""What is known of families of PDUs: one module each, data alone."""
