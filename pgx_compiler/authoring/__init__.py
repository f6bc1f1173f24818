"""What helps a person before the first run: a first spec, pages about methods, completion in the shell, a look at the host.

A first spec is made in four steps: `files` sorts the paths, `signature` reads what the model says of itself, `labels` and
`columns` what the data say, and `first_spec` writes it down. Which methods fit is never decided here: `steps` proposes the
whole catalogue to the checks of the language, and keeps what they do not refuse.
"""
