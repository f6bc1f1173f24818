"""Text to `AuditSpec`: the YAML reader with positions, the typed spec, and parsing. Knows YAML, knows no method."""
