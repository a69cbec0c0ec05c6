"""``mpsearch data``: photographs for a device's tools, and whether they fit the study that uses them."""

from __future__ import annotations

from typing import Annotated

import typer

from mpsearch.cli import to_raw
from mpsearch.cli.options import StudyArgument
from mpsearch.cli.output import Format, FormatOption, emit, say

_SHOWN = 10


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Calibration and evaluation photographs.")
    group.command("check")(check)
    to_raw.register(group)
    app.add_typer(group, name="data")


def check(
    study: StudyArgument = None,
    base: Annotated[str | None, typer.Option(help="Base to quantize everything in. Default: the budget's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Evaluation photographs to look at.")] = 16,
    form: FormatOption = Format.TABLE,
) -> None:
    """Quantize with the very photographs that are scored, and compare ranges, channel order and aspect ratio."""
    from mpsearch import members
    from mpsearch.quant import diagnosis
    from mpsearch.scoring import inputs
    from mpsearch.study.folder import cache_folder
    from mpsearch.workbench import open_workbench

    loaded = members.one(study)
    fewer = min(limit, loaded.data.evaluation_limit or limit)
    loaded = loaded.model_copy(update={"data": loaded.data.model_copy(update={"evaluation_limit": fewer})})
    cache = cache_folder(loaded)
    bench = open_workbench(loaded, cache=cache, say=say)
    graph, scorer = bench.graph, bench.scorer
    found = diagnosis.samples(
        graph, bench.calibration, bench.evaluation, scorer.score, base=base or loaded.budget.of, cache=cache
    )
    far = diagnosis.reaches(graph, bench.calibration, bench.evaluation, cache=cache)
    fed = inputs.feedings(graph, scorer.decoder, bench.evaluation) if scorer.decoder.heads else ()
    rows = [
        *({"check": "calibration", "what": s.remedy, "study_error": s.study.objective,
           "own_error": s.own.objective, "missed": s.own.missed, "faces": s.own.faces} for s in found),
        *({"check": "range", "what": r.unit, "beyond": r.beyond, "photographs": r.photographs}
          for r in (far[:_SHOWN] if form is Format.TABLE else far)),
        *({"check": "input", "what": f.name, "faces": f.faces, "photographs": f.photographs,
           "confidence": f.confidence} for f in fed),
    ]  # fmt: skip
    emit(rows, form, title=f"{graph.path.name}, {len(bench.evaluation)} photographs")
    say("study_error: calibrated on the study's photographs; own_error: on the very ones that are scored")
    say("beyond: share of the calibrated range by which the worst photograph leaves it")
    say(diagnosis.verdict(found, far, missed=loaded.limits.missed, input_advice=inputs.advice(fed) if fed else ""))
