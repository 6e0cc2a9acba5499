"""`harness schema`."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON schema of experiment files, with which editors complete and check them.

    harness schema > experiment.schema.json, and as the first line of a file:

    # yaml-language-server: $schema=experiment.schema.json
    """
    from harness.runs.experiment import schema

    click.echo(json.dumps(schema(), indent=1))
