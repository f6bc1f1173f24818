"""Text and the token ids that models read: vocabularies as plain files, and the way from a text to its ids."""
