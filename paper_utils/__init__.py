"""Helpers of the five notebooks: one module per subject, see README.md. Importing this package imports nothing."""
