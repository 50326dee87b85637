"""The plan of a suite: operations, passes, memory, disk and time of every stage, and what of it is there already."""

from universal_neurons.planning.plans import Plan, PlannedStage, plan

__all__ = ["Plan", "PlannedStage", "plan"]
