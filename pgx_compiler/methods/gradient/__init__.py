"""White box: what the score owes to the input, by its derivatives."""
