"""Graph to graph, one pass a file; the order is the tuple in `runner.PIPELINE`, argued there."""
