"""One file a framework, found by file name; each exports TARGET, inspect and open_model."""
