"""Audits that live beside their models: locks, differences, baselines, and moving a spec to a newer language."""
