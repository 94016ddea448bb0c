"""`backup prune|sync|verify|pin|unpin|canary`: what stays, is caught up, and is still whole."""

from collections.abc import Callable

import click

from backup.canary import canary
from backup.catalogue import verify
from backup.pins import pin, unpin
from backup.prune import prune
from backup.prune_plan import Plan, make_plan
from backup.settings import BackupSettings
from backup.sync import sync
from backup.tiers.registry import open_tier
from backup.verify import verify_tier
from storewatch.cli.common import (
    backup_settings,
    config_option,
    end_with,
    json_option,
    parts,
    print_json,
    print_table,
    say,
)
from storewatch.cli.transfer import transferring
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence
from storewatch.core.figures import moment
from storewatch.core.targets import worst
from storewatch.store.evidence import EvidenceStore

tier_option = click.option("--tier", help="One tier; default: all.")


@click.command("prune")
@tier_option
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@json_option
@config_option
def prune_(*, tier: str | None, dry_run: bool, as_json: bool) -> None:
    """Delete what the retention of a tier no longer wants; with any doubt, nothing."""
    found = parts()
    settings = backup_settings(found)
    tiers = [tier] if tier else [one.name for one in settings.tiers if one.retention]
    if not tiers:
        raise UsageError(
            "no tier has a retention, so everything stays; give one, such as retention: "
            "{last: 7, daily: 14}"
        )
    if dry_run:
        plans = {name: make_plan(settings, open_tier(settings, name)) for name in tiers}
        _show(plans, as_json=as_json)
        return
    with transferring() as report:
        _each(tiers, lambda name: prune(settings, name, found.evidence, report), as_json=as_json)


@click.command("sync")
@tier_option
@json_option
@config_option
def sync_(*, tier: str | None, as_json: bool) -> None:
    """Bring to a tier what it lacks and another one has."""
    found = parts()
    settings = backup_settings(found)
    with transferring() as report:
        _each(
            _tiers(settings, tier),
            lambda name: sync(settings, name, found.evidence, report),
            as_json=as_json,
        )


@click.command("verify")
@click.option("--tier", help="Where to read; default: all, with --sample only.")
@click.option("--sample", is_flag=True, help="Read what was not read back for longest.")
@click.argument("identifier", required=False)
@json_option
@config_option
def verify_(*, tier: str | None, sample: bool, identifier: str | None, as_json: bool) -> None:
    """Read a recovery point (the newest without an id) back and compare every byte's hash.

    With --sample: today's share of every tier, so that all of it is read within verify_every.
    """
    found = parts()
    settings = backup_settings(found)
    if sample:
        _verify_share(settings, found.evidence, tier, identifier, as_json=as_json)
        return
    if tier is None:
        raise UsageError("name the tier to read: --tier NAME, or --sample for a share of all")
    with transferring() as report:
        manifest, problems = verify(settings, tier, identifier, report)
    if as_json:
        print_json({"id": manifest.id, "tier": tier, "problems": problems})
    else:
        for problem in problems:
            say(problem)
        say(f"{manifest.id} in {tier}: {'damaged' if problems else 'whole'}")
    click.get_current_context().exit(1 if problems else 0)


def _verify_share(
    settings: BackupSettings,
    evidence: EvidenceStore,
    tier: str | None,
    identifier: str | None,
    *,
    as_json: bool,
) -> None:
    if identifier is not None:
        raise UsageError("--sample chooses what to read; leave out the id")
    with transferring() as report:
        _each(
            _tiers(settings, tier),
            lambda name: verify_tier(settings, name, evidence, report),
            as_json=as_json,
        )


@click.command("pin")
@click.argument("identifier")
@click.option("--reason", required=True, help="Why it must stay; shown in the list.")
@config_option
def pin_(identifier: str, reason: str) -> None:
    """Keep a recovery point whatever the retention says."""
    tiers = pin(backup_settings(parts()), identifier, reason)
    say(f"{identifier} is pinned in {', '.join(tiers)}: {reason}")


@click.command("unpin")
@click.argument("identifier")
@config_option
def unpin_(identifier: str) -> None:
    """Let the retention judge a recovery point again."""
    tiers = unpin(backup_settings(parts()), identifier)
    say(f"{identifier} is no longer pinned in {', '.join(tiers) or 'any tier (it was not)'}")


@click.command("canary")
@json_option
@config_option
def canary_(*, as_json: bool) -> None:
    """Open a part of yesterday's backup with today's identity, in every tier."""
    found = parts()
    evidence = canary(backup_settings(found), found.evidence)
    end_with(evidence, found.evidence.folder(evidence), as_json=as_json)


def _tiers(settings: BackupSettings, tier: str | None) -> list[str]:
    return [tier] if tier else [one.name for one in settings.tiers]


def _each(tiers: list[str], work: Callable[[str], Evidence], *, as_json: bool) -> None:
    """Do the work for each tier; end by the worst verdict. JSON is a list with one of each."""
    made = [work(tier) for tier in tiers]
    if as_json:
        print_json([one.to_json() for one in made])
    else:
        for one in made:
            for note in one.notes:
                say(f"  {note}")
            said = ", ".join(f"{m.name} {m.value:g}" for m in one.measurements if m.value)
            say(f"{one.kind} {one.subject}: {one.verdict}  {said}")
    click.get_current_context().exit(worst([one.verdict for one in made]).exit_code)


def _show(plans: dict[str, Plan], *, as_json: bool) -> None:
    """Print what a prune would do; 1 when it would refuse."""
    if as_json:
        print_json({name: plan.to_json() for name, plan in plans.items()})
    else:
        for name, plan in plans.items():
            rows = [
                (one.point.id, moment(one.point.at), "stays" if one.kept else "goes", why)
                for one in reversed(plan.judged.values())
                for why in ["; ".join(one.reasons) or "no rule wants it"]
            ]
            print_table((name, "of", "", "why"), rows, f"{name}: no recovery point")
            say(f"{name}: {len(plan.wal)} WAL segments and {len(plan.unfinished)} loose objects go")
            for line in [*(f"refused: {one}" for one in plan.refusals), *plan.notes]:
                say(line)
    click.get_current_context().exit(1 if any(p.refusals for p in plans.values()) else 0)


COMMANDS = (prune_, sync_, verify_, pin_, unpin_, canary_)
