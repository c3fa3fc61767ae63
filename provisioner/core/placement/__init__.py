"""Which node an instance gets: filters in one explicit list, weighers in another."""
