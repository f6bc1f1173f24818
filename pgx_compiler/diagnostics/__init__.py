"""What is wrong, where, and what to do: `diagnostic` holds the data, `render` the words for people and machines."""
