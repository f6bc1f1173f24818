"""The strategy chooses methods: rules as data, what they may know, and the choice with its reasons."""
