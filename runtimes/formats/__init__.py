"""Model files read statically, and the arithmetic that turns a model's raw output into a view's columns."""
