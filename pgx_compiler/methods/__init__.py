"""The catalogue: one method a file, found by walking. A method's signature and its file are its declaration.

`declaration` holds what a method file imports, `catalogue` finds the files, `apply` runs them, `laws` holds them to
what they promise. See CONTRIBUTING.md, "add a method in one file".
"""
