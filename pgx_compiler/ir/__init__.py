"""The typed graph.

`node` (one node type), `graph` (immutable, ordered), `verify` (what is legal), `text` (print and parse), `trials` (a search
unrolled).
"""
