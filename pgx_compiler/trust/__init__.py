"""What the person who runs audits has trusted model files to do: outside every spec, by digest, power, reason and expiry."""
