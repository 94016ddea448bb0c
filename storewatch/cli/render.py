"""`render`: the configurations that Prometheus and Alertmanager get."""

import click

from storewatch.cli.common import config_option, parts


@click.group()
def render() -> None:
    """Print configurations made from storewatch.yaml."""


@render.command()
@click.option("--rules", is_flag=True, help="The rule file instead of prometheus.yml.")
@config_option
def prometheus(*, rules: bool) -> None:
    """Print prometheus.yml, or the rules that it loads."""
    click.echo(parts().rendered()["rules" if rules else "prometheus"], nl=False)


@render.command()
@config_option
def alertmanager() -> None:
    """Print alertmanager.yml."""
    click.echo(parts().rendered()["alertmanager"], nl=False)
