"""`harness models`."""

from __future__ import annotations

import json

import click


@click.command("models")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="The cards as JSON on standard output.")
def command(name: str | None, as_json: bool) -> None:
    """The models that ship with this version; with NAME (or sparse, dense) the model card of that one.

    'harness count' takes them with --model.
    """
    from harness.runs import models

    found = [models.card_named(name)] if name else models.cards()
    if as_json:
        click.echo(json.dumps([card.model_dump(mode="json") for card in found]))
    elif name:
        click.echo(
            f"{found[0].name} ({found[0].weights.stat().st_size / 1e6:.2f} MB)\n\n{found[0].as_yaml()}", nl=False
        )
    elif not found:
        click.echo(models.NONE_SHIPS)
    else:
        from tabulate import tabulate

        click.echo(tabulate(models.as_rows(found), headers="keys", disable_numparse=True))
        click.echo(
            f"\n{models.rule()}\nharness models NAME shows a model's card: how it was trained, its errors and its limits."
        )
