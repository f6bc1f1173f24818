"""What a spec means, held against its files and the catalogue of methods. Imports no framework."""
