"""The plan as a document: deterministic, priced, diffable; and the lock of everything that it rests on."""
