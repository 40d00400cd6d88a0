"""Helpers of the five notebooks: one module per subject. Importing the package loads none of them, nor torch."""

from paper_utils import numerics

numerics.pin()
