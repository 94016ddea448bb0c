"""`render`: what Prometheus, Alertmanager, Grafana and Kubernetes get."""

from pathlib import Path

import click

from storewatch.cli.common import config_option, parts, say
from storewatch.rendering import kubernetes_text, write_grafana


@click.group()
def render() -> None:
    """Make configurations, dashboards and manifests from storewatch.yaml."""


@render.command()
@click.option("--rules", is_flag=True, help="The rule file instead of prometheus.yml.")
@click.option("--secrets", is_flag=True, help="With your jobs' secrets, for a file of 0600.")
@config_option
def prometheus(*, rules: bool, secrets: bool) -> None:
    """Print prometheus.yml, or the rules that it loads; secrets of scrape jobs are left out."""
    text = parts().rendered(secrets=secrets)["rules" if rules else "prometheus"]
    click.echo(text, nl=False)


@render.command()
@click.option("--secrets", is_flag=True, help="With the receivers' secrets, for a file of 0600.")
@config_option
def alertmanager(*, secrets: bool) -> None:
    """Print alertmanager.yml; secrets of receivers are left out."""
    click.echo(parts().rendered(secrets=secrets)["alertmanager"], nl=False)


@render.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@config_option
def grafana(folder: Path) -> None:
    """Write dashboards and provisioning files for Grafana into a folder."""
    written = write_grafana(parts().config.settings, folder)
    say(f"wrote {len(written)} files below {folder}; see docs/how-to/grafana.md")


@render.command()
@config_option
def kubernetes() -> None:
    """Print PrometheusRule, ServiceMonitor, Probe and dashboard ConfigMaps."""
    click.echo(kubernetes_text(parts().config.settings), nl=False)
