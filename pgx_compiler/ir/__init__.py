"""The typed graph.

`node` (one node type), `graph` (immutable, ordered), `verify` (what is legal), `text` (print and parse), `trials` (a search
unrolled), `repeats` (what a model is asked again), `sharding` (where a long step is cut).
"""
