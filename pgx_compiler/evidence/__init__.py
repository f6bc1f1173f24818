"""Results: what they are (`results`), how they become bytes (`bytes`), and where they are kept (`store`)."""
