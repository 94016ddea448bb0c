"""The release gate: run what a policy lists and give one verdict with its evidence."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from alerting.slo import Slo
from alerting.slo_status import read_status
from backup.drill import run_drill
from loadtests import junit
from loadtests.compare import run_comparison
from loadtests.past_runs import past_runs
from loadtests.policies import ALL, Policy, RequirementSettings, parted
from loadtests.process import Crew
from loadtests.run import Wish, find_profile, run_load
from loadtests.settings import LoadSettings
from storewatch import gate_findings
from storewatch.core.clock import utc_now
from storewatch.core.errors import StorewatchError, UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.gate_findings import NOT_RUN, Outcome
from storewatch.store.evidence import EvidenceDraft
from storewatch.store.files import write_atomic
from storewatch.store.lock import held
from storewatch.walking import walk_journey
from storewatch.wiring import Parts


class Report(Protocol):
    """Where long work tells how far it is."""

    def __call__(self, label: str, done: float, total: float | None) -> None:
        """`done` of `total` (None: unknown) of the labelled work is done."""


def run_gate(
    parts: Parts,
    release: str,
    policy: str,
    report: Report,
    say: Callable[[str], None] = lambda _line: None,
    *,
    fail_fast: bool = False,
) -> Evidence:
    """Run the requirements of a policy in their order and return the evidence of the gate.

    The release is in the context, not in the subject: that is a label, and releases never end.

    Args:
        parts: of the configuration.
        release: of the shop, as it is deployed where load tests go.
        policy: of loadtests.policies.
        report, say: told how far long work is; each requirement and its verdict.
        fail_fast: whether the first FAIL or INVALID ends it.

    Raises:
        UsageError: no such policy, or it names an SLO that there is not; nothing was run.
        BusyError: another gate is running.
    """
    if not release.strip():
        raise UsageError("the release has no name; write one, such as 4.2.0")
    requirements = find_policy(parts, policy)
    with held(parts.config.home / "gate.lock", "a gate"):
        draft = parts.evidence.open("gate", policy, {"release": release})
        gate, outcomes = _Gate(parts, release, policy, report), list[Outcome]()
        for one in requirements:
            ended = [o.title for o in outcomes if o.verdict in (Verdict.FAIL, Verdict.INVALID)]
            if fail_fast and ended:
                said = f"{NOT_RUN}: {ended[0]} had decided"
                outcomes.append(Outcome(one.title, Verdict.INCONCLUSIVE, said))
            else:
                say(f"{len(outcomes) + 1} of {len(requirements)}: {one.title} ...")
                outcomes.append(gate.judge(one))
            say(outcomes[-1].note)
        return _finish(draft, release, outcomes)


def find_policy(parts: Parts, name: str) -> Policy:
    """Return the requirements of a configured policy, all of which can be asked.

    Raises:
        UsageError: there is no such policy, or no such SLO.
    """
    policies = parts.config.settings.loadtests.policies
    if name not in policies:
        known = ", ".join(policies) or "none"
        raise UsageError(f"no policy {name!r} in loadtests.policies; there are: {known}")
    for one in policies[name]:
        if one.error_budget is not None:
            wanted_slos(parts.service_levels, one.error_budget.slo)
    return policies[name]


def wanted_slos(slos: list[Slo], wanted: str) -> list[Slo]:
    """Return the SLO of an id, or all.

    Raises:
        UsageError: there is none.
    """
    found = [one for one in slos if wanted in (ALL, one.id)]
    if not found:
        known = ", ".join(one.id for one in slos) or "none"
        raise UsageError(f"error_budget: no SLO {wanted!r}; write all, or one of: {known}")
    return found


@dataclass(frozen=True, slots=True)
class _Gate:
    """A gate under way: how each requirement is asked."""

    parts: Parts
    release: str
    policy: str
    report: Report

    def judge(self, one: RequirementSettings) -> Outcome:
        """Return what came of a requirement; what goes wrong in it is its verdict."""
        try:
            return self._ask(one)
        except StorewatchError as error:
            return gate_findings.of_broken_off(one.title, (), error)

    def _ask(self, one: RequirementSettings) -> Outcome:
        store, now = self.parts.evidence, utc_now()
        if one.load is not None:
            return self._load(one, one.load)
        if one.compare is not None:
            return self._compare(one, one.compare)
        if one.proof is not None:
            proofs = store.list("proof", one.proof.name) + store.list("failover", one.proof.name)
            proofs.sort(key=lambda record: record.id, reverse=True)
            remedy = f"storewatch prove {one.proof.name}"
            return gate_findings.of_newest(one.title, proofs, now, one.proof.within, remedy)
        if one.error_budget is not None:
            return self._budgets(one.title, one.error_budget.slo, one.error_budget.least)
        if one.drill is not None and one.drill.within is not None:
            drills, within_s = store.list("drill"), one.drill.within
            remedy = "storewatch drill run"
            return gate_findings.of_newest(one.title, drills, now, within_s, remedy)
        return self._drill(one.title)

    def _load(self, one: RequirementSettings, subject: str) -> Outcome:
        journey, profile = parted(subject)
        settings = self.parts.config.settings.loadtests
        if one.hold is not None:
            settings, profile = held_for(settings, profile, one.hold)
        wish = Wish(journey, profile, self.release, Crew(one.workers))
        made = list[Evidence]()
        for turn in range(1, one.times + 1):
            label = one.title + (f", {turn} of {one.times}" if one.times > 1 else "")

            def progress(line: dict[str, Any], label: str = label) -> None:
                self.report(label, line["elapsed_s"], line["duration_s"])

            around = self.parts.surroundings
            try:
                made.append(run_load(settings, wish, self.parts.evidence, progress, around))
            except StorewatchError as error:
                return gate_findings.of_broken_off(one.title, made, error)
        return gate_findings.of_rehearsals(one.title, made)

    def _compare(self, one: RequirementSettings, subject: str) -> Outcome:
        store = self.parts.evidence
        before = gate_findings.last_passed(store.list("gate"), self.policy, self.release)
        if before is None:
            let_through = one.first_release == "pass"
            verdict = Verdict.PASS if let_through else Verdict.INCONCLUSIVE
            hint = "" if let_through else "; `first_release: pass` lets the first one through"
            return Outcome(one.title, verdict, f"no other release has passed {self.policy}{hint}")
        found = gate_findings.alike(past_runs(store), subject, before, self.release)
        if isinstance(found, str):
            return Outcome(one.title, Verdict.INCONCLUSIVE, found)
        settings = self.parts.config.settings.loadtests.comparison
        made = run_comparison(settings, subject, *found, store).evidence
        outcome = gate_findings.of_rehearsals(one.title, [made])
        said = "; ".join(part for part in (f"with {before}", outcome.said) if part)
        return Outcome(one.title, outcome.verdict, said, outcome.measurements, outcome.evidence)

    def _drill(self, title: str) -> Outcome:
        backup = self.parts.config.settings.backup
        assert backup is not None  # the configuration was refused otherwise
        why = f"for the release gate {self.policy}"
        tier, store = backup.drill.tier, self.parts.evidence
        made = run_drill(backup, tier, store, self.report, None, why, walk_journey)
        return gate_findings.of_rehearsals(title, [made])

    def _budgets(self, title: str, wanted: str, least: float) -> Outcome:
        settings = self.parts.config.settings.alerting
        statuses = read_status(
            self.parts.prometheus_url,
            wanted_slos(self.parts.service_levels, wanted),
            settings.error_budget_policy,
            settings.thresholds.burn_events_min,
        )
        return gate_findings.of_budgets(title, statuses, least)


def held_for(settings: LoadSettings, profile: str, hold_s: float) -> tuple[LoadSettings, str]:
    """Return settings with a profile of another hold, and its name: soak-7200s.

    It has a name of its own so that its runs are never taken for those of the profile.
    """
    name = f"{profile}-{hold_s:g}s"
    longer = find_profile(settings, profile).held_for(hold_s)
    profiles = {**settings.profiles, name: longer}
    return settings.model_copy(update={"profiles": profiles}), name


def _finish(draft: EvidenceDraft, release: str, outcomes: list[Outcome]) -> Evidence:
    """Judge the requirements together, write the artefacts and return the evidence."""
    found = gate_findings.measurements(outcomes)
    notes = [f"release {release}", *(one.note for one in outcomes)]
    overrides = [one.verdict for one in outcomes]
    preview = draft.preview(found, notes, overrides)
    whole = {
        "policy": draft.subject,
        "release": release,
        "verdict": preview.verdict,
        "requirements": [one.to_json() for one in outcomes],
    }
    cases = [(one.title, one.verdict, one.note) for one in outcomes]
    write_atomic(draft.folder / "gate.json", (json.dumps(whole, indent=1) + "\n").encode())
    write_atomic(draft.folder / "junit.xml", junit.render(preview, cases))
    html = gate_findings.render(preview, release, outcomes)
    write_atomic(draft.folder / "report.html", html.encode())
    return draft.finish(found, notes, overrides)
