"""One file an engine; each exports open_engine, which gives something with ``submit`` and ``close``."""
