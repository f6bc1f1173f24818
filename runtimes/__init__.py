"""What computes, and where: model frameworks, data formats and execution engines.

The floor of the house. Nothing here has heard of YAML, audits, methods or PDF, and nothing here imports
``pgx_compiler``. Heavy libraries are imported inside functions, so that reading a `Target` or a model's
static facts costs no framework.
"""
