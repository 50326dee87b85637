"""Evidence and tables become a report: context, figures, static Quarto source, pages, checks."""

from universal_neurons.render.report import build_report

__all__ = ["build_report"]
