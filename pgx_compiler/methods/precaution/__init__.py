"""Before believing the model: volume, consistency and purity of the data."""
