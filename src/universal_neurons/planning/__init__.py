"""What a suite costs: operations, passes, memory, disk and seconds per stage, and what of it is there already."""

from universal_neurons.planning.plans import Plan, PlannedStage, plan

__all__ = ["Plan", "PlannedStage", "plan"]
