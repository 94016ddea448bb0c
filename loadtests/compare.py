"""From runs of two releases to the evidence of their comparison."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.comparison import (
    ALPHA,
    Finding,
    compare,
    fewest_runs,
    measurements,
    questions,
    too_few,
)
from loadtests.past_runs import Run, Side, differences
from loadtests.policies import MIX
from loadtests.settings import ComparisonSettings
from storewatch.core.clock import rfc3339
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.figures import number
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceStore


@dataclass(frozen=True, slots=True)
class Comparison:
    """The evidence of a comparison and what it was made from."""

    evidence: Evidence
    findings: tuple[Finding, ...]


def run_comparison(
    settings: ComparisonSettings,
    subject: str,
    baseline: Side,
    candidate: Side,
    store: EvidenceStore,
) -> Comparison:
    """Compare the runs of two releases and return the evidence.

    The subject is that of the runs, the releases are in the context: metrics have the subject as a
    label, and releases never end.

    Args:
        settings: the section `loadtests.comparison`.
        subject: of the runs, such as checkout/baseline.
        baseline, candidate: their runs.
        store: where the evidence goes.
    """
    draft = store.open("comparison", subject, _context(baseline, candidate))
    notes = [_said(baseline, candidate), *baseline.left_out, *candidate.left_out]
    used = [*baseline.valid, *candidate.valid]
    (draft.folder / "runs.json").write_text(json.dumps([_row(run) for run in used], indent=2))
    if reasons := differences(used):
        unjudged = [Measurement("p95_ratio", None, "ratio", Target("<", settings.tolerated_ratio))]
        notes += [f"INVALID: {reason}" for reason in reasons]
        return Comparison(draft.finish(unjudged, notes, [Verdict.INVALID]), ())
    findings = compare(
        [run.values for run in baseline.valid],
        [run.values for run in candidate.valid],
        settings.tolerated_ratio,
        settings.tolerated_errors,
    )
    notes += _caveats(baseline.valid, candidate.valid)
    notes += shortage(subject, baseline, candidate, findings) or [
        line for one in findings if (line := spoken(one, candidate.label))
    ]
    return Comparison(draft.finish(measurements(findings), notes), tuple(findings))


def shortage(
    subject: str, baseline: Side, candidate: Side, findings: Sequence[Finding]
) -> list[str]:
    """Say which side has too few runs to tell anything, and how to get more."""
    asked = questions(findings)
    if not too_few(len(baseline.valid), len(candidate.valid), asked):
        return []
    wanted = fewest_runs(asked)
    journey, _, profile = subject.partition("/")
    lines = []
    for side in (baseline, candidate):
        if (lacking := wanted - len(side.valid)) > 0:
            words = f"{'' if journey == MIX else journey + ' '}--profile {profile}"
            if release := side.runs[0].release:
                words += f" --release {release}"
            lines.append(
                f"INCONCLUSIVE: {side.label} has {len(side.valid)} valid runs, {wanted} are needed"
                f" for {asked} measurements: storewatch load run {words} --times {lacking}"
            )
    return lines


def spoken(finding: Finding, label: str) -> str:
    """Say of a measurement that does not pass why; nothing of the others."""
    shown = finding.shown()
    if finding.verdict is Verdict.FAIL and shown:
        by = (
            f"{shown.estimate:.3f} times as long ({shown.low:.3f} to {shown.high:.3f})"
            if finding.relative
            else f"{shown.estimate:.2%} more ({shown.low:.2%} to {shown.high:.2%})"
        )
        return f"FAIL: {finding.name} of {label} is {by}, p {finding.p:.2g} (limit {ALPHA})"
    if finding.verdict is not Verdict.INCONCLUSIVE:
        return ""
    if finding.p is None:
        return (
            f"INCONCLUSIVE: {finding.name} was measured in {len(finding.baseline)} runs of the"
            f" baseline and {len(finding.candidate)} of {label}, which is too few"
        )
    needed = finding.runs_needed
    hint = f"; about {needed} runs a side would tell a build that is the same" if needed else ""
    return f"INCONCLUSIVE: {finding.name}: the runs allow for more than is tolerated{hint}"


def _context(baseline: Side, candidate: Side) -> dict[str, object]:
    return {
        role: {"name": side.label, "runs": [run.id for run in side.valid]}
        for role, side in (("baseline", baseline), ("candidate", candidate))
    }


def _said(baseline: Side, candidate: Side) -> str:
    said = (f"{side.label} ({number(len(side.valid), 'runs')})" for side in (baseline, candidate))
    return " -> ".join(said)


def _caveats(baseline: Sequence[Run], candidate: Sequence[Run]) -> list[str]:
    """Say what a person should know who trusts the figures."""
    said = []
    if baseline and candidate:
        first, second = ([run.started_at for run in side] for side in (baseline, candidate))
        if max(first) < min(second) or max(second) < min(first):
            said.append(
                "all runs of one release came before those of the other: what the host did in"
                " between counts as the release; run them by turns"
            )
        urls = sorted({str(run.plan.get("base_url")) for run in (*baseline, *candidate)})
        if len(urls) > 1:
            said.append(f"the runs went to several shops: {', '.join(urls)}")
    return said + [
        f"{run.name} was {run.given_up}; its figures are of the time before"
        for run in (*baseline, *candidate)
        if run.given_up
    ]


def _row(run: Run) -> dict[str, object]:
    return {
        "id": run.id,
        "release": run.release,
        "started_at": rfc3339(run.started_at),
        "values": run.values,
    }
