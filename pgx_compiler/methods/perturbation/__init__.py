"""Black box: what happens to the score when the input changes."""
