"""Build the report from evidence and tables: figures, pages and PDF, all checked before they are published."""

from universal_neurons.render.report import build_report

__all__ = ["build_report"]
