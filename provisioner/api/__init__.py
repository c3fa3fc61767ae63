"""REST `/v1`: takes requests, keeps them, tells how they stand. Touches no hardware."""
