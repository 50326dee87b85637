"""The training of the models: losses from the training log, and their figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from universal_neurons.render.escaping import Markdown, markdown
from universal_neurons.render.figures.drawing import Drawing, drawing, label_room
from universal_neurons.render.figures.figure import Figure, FigureGroup, figure
from universal_neurons.render.figures.style import OWN, Colour, Size, model_marks
from universal_neurons.render.formatting import MissingNumber, decimal, listed
from universal_neurons.render.tables import Column, DataTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.stages.study import StoredStudy

CURVE_POINTS_OF_TRAINING = 120
_CODE = "render.figures.training."


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """The loss of one seed over its training: (tokens, training loss) and, at some of them, (tokens, held-out loss)."""

    model: str
    tokens: tuple[float, ...]
    loss: tuple[float, ...]
    held_out: tuple[tuple[float, float], ...]


def training(log: pd.DataFrame) -> tuple[TrainingCurve, ...]:
    """The loss of every seed, averaged in at most ``CURVE_POINTS_OF_TRAINING`` stretches of its training.

    ``log`` has model, tokens, loss and, where it was evaluated, held_out_loss.  Raises MissingNumber for an empty log.
    """
    if log.empty:
        raise MissingNumber("the training log of the zoo is empty; run: nox -s train")
    return tuple(_training_curve(str(model), part.sort_values("tokens")) for model, part in log.groupby("model"))


def _training_curve(model: str, log: pd.DataFrame) -> TrainingCurve:
    lossy = log.dropna(subset=["loss"])
    stretch = (pd.RangeIndex(len(lossy)) * CURVE_POINTS_OF_TRAINING) // max(len(lossy), CURVE_POINTS_OF_TRAINING)
    means = lossy.groupby(stretch)[["tokens", "loss"]].mean()
    held_out = log.dropna(subset=["held_out_loss"]) if "held_out_loss" in log else log.iloc[:0]
    return TrainingCurve(
        model=model,
        tokens=tuple(float(t) for t in means["tokens"]),
        loss=tuple(float(loss) for loss in means["loss"]),
        held_out=tuple(
            (float(t), float(loss))
            for t, loss in (zip(held_out["tokens"], held_out["held_out_loss"], strict=True) if len(held_out) else ())
        ),
    )


def checkpoint_tokens(study: StoredStudy) -> tuple[float, ...]:
    """The tokens after which each checkpoint was written."""
    total = float(study.training_log()["tokens"].max())
    return tuple(checkpoint.share * total for checkpoint in study.checkpoints)


def training_figures(curves: Sequence[TrainingCurve], checkpoints: Sequence[float]) -> dict[str, FigureGroup]:
    """The figure of the training; left out for published models, of whose training there is no log."""
    if not curves:
        return {"training": FigureGroup((Figure.left_out("training", "others trained these models without a log."),))}
    return {"training": FigureGroup((training_curves(curves, checkpoints),))}


def training_curves(curves: Sequence[TrainingCurve], checkpoints: Sequence[float]) -> Figure:
    """Loss per seed against tokens; light vertical lines are the checkpoints."""
    ends = {curve.model: (curve.held_out[-1][1] if curve.held_out else curve.loss[-1]) for curve in curves}
    tokens = max(curve.tokens[-1] for curve in curves)

    def draw(size: Size) -> Drawing:
        right = label_room([_seed(curve.model) for curve in curves], size)
        with drawing(size, 320 if not size.is_narrow else 260, left=36, right=right) as canvas:
            for at in checkpoints:
                canvas.axes.axvline(at / 1e6, color=Colour.RULE.value, linewidth=1)
            tips = []
            for curve, mark in zip(curves, (OWN, *model_marks(len(curves) - 1)), strict=True):
                xs = [t / 1e6 for t in curve.tokens]
                canvas.axes.plot(xs, curve.loss, color=mark.colour.value, linewidth=1.2, alpha=0.8)
                canvas.axes.plot(
                    [t / 1e6 for t, _ in curve.held_out], [loss for _, loss in curve.held_out], linestyle="none",
                    marker="o", markersize=4.5, color=mark.colour.value,
                )  # fmt: skip
                tips.append((xs[-1], ends[curve.model], _seed(curve.model), mark.colour))
            canvas.axes.set_ylim(*_loss_range(curves))
            canvas.axes.set_xlim(0, tokens / 1e6 * 1.01)
            canvas.label_y("loss, nats per token")
            canvas.label_x("million training tokens")
            canvas.label_ends(tips)
        return canvas

    low, high = min(ends.values()), max(ends.values())
    which = "held-out loss" if any(curve.held_out for curve in curves) else "training loss"
    reached = f"{decimal(low, 3)} to {decimal(high, 3)} nats per token"
    said = f"after {decimal(tokens / 1e6, 1)} million tokens the {which} is {reached}"
    caption = Markdown(
        f"Training of the {len(curves)} seeds: lines are the training loss, dots the loss on held-out documents, "
        f"vertical lines the checkpoints; {markdown(said)}."
    )
    alt = f"Falling loss curves of {len(curves)} seeds ({listed([c.model for c in curves])}); {said}."
    rows = [
        (curve.model, t / 1e6, loss, dict(curve.held_out).get(t))
        for curve in curves
        for t, loss in zip(curve.tokens, curve.loss, strict=True)
    ]
    table = DataTable(
        "Loss of each seed over its training",
        (Column("seed"), Column("million tokens", 2), Column("training loss", 3), Column("held-out loss", 3)),
        tuple(rows),
    )
    return figure("training", draw, caption=caption, alt=alt, data=table, code=_CODE + "training_curves")


def _seed(model: str) -> str:
    return f"seed {model}"


def _loss_range(curves: Sequence[TrainingCurve]) -> tuple[float, float]:
    """The losses after the first twentieth of the training, with air: the first steps would flatten everything else."""
    seen = [
        loss
        for curve in curves
        for t, loss in (*zip(curve.tokens, curve.loss, strict=True), *curve.held_out)
        if t >= curve.tokens[-1] / 20
    ]
    air = (max(seen) - min(seen)) * 0.06 or 0.1
    return min(seen) - air, max(seen) + air
