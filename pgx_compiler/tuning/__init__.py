"""The search over a model's own settings: narrowed by what is known of the data, judged by what candidates explain."""
