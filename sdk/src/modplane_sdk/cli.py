"""`modplane-sdk`: one word per thing to do. SERVICE is `package.module:name` of a ModuleService, from this folder."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from modplane_sdk.api import PlatformError
from modplane_sdk.bootstrap import make_api_key
from modplane_sdk.client import PlatformClient, SubgraphVersion
from modplane_sdk.manifest import InvalidManifest
from modplane_sdk.membership import Membership
from modplane_sdk.rendering import CannotRender, render
from modplane_sdk.running import run as run_service
from modplane_sdk.service import ModuleService
from modplane_sdk.service_name import NoService, find_service
from modplane_sdk.settings import MissingSetting, ModuleSettings

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="Write a module for Modplane.")
Name = Annotated[str, typer.Argument(metavar="SERVICE", help="package.module:name of the ModuleService.")]
PLUGIN = "modplane_sdk.pytest_plugin"
FAULTS = (PlatformError, InvalidManifest, MissingSetting, CannotRender, OSError, TimeoutError, ValueError)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters of it, the consumer says
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        cli()
    except FAULTS as error:
        typer.echo(f"modplane-sdk: {error}", err=True)
        sys.exit(1)


@cli.command()
def new(code: str, into: Annotated[Path | None, typer.Option(help="Else a folder of that name, here.")] = None) -> None:
    """Render the repository of a new module. Example: modplane-sdk new invoice-archive"""
    folder = into or Path(code)
    made = render(code, folder)
    typer.echo(f"{len(made)} files in {folder}; next: cd {folder} && make test")


@cli.command()
def manifest(service: Name) -> None:
    """Print the manifest.json of a definition. Example: modplane-sdk manifest app.main:service"""
    typer.echo(json.dumps(_load(service).definition.to_manifest(), indent=2, ensure_ascii=False))


@cli.command()
def sdl(service: Name) -> None:
    """Print the subgraph's SDL, as it is registered."""
    typer.echo(_load(service).schema.as_str())


@cli.command()
def key(service: Name, file: Annotated[Path, typer.Option(help="Where the key goes.")] = Path(".modplane-key")) -> None:
    """Once, by an administrator (MODPLANE_ADMIN_TOKEN): register the module, and make a key for its service."""
    token = os.environ.get("MODPLANE_ADMIN_TOKEN", "")
    if not token:
        raise MissingSetting("set MODPLANE_ADMIN_TOKEN; `modplane dev` prints one when it is ready")
    found = _load(service).definition
    # opened first: a key that cannot be written down is lost. What is in it stays until there is another.
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "w+") as opened:
        os.fchmod(opened.fileno(), 0o600)
        secret = asyncio.run(make_api_key(ModuleSettings().url, token, found, name="modplane-sdk key"))
        opened.truncate()
        opened.write(secret + "\n")
    typer.echo(f"the key is in {file}: MODPLANE_API_KEY_FILE={file}")


@cli.command()
def register(service: Name) -> None:
    """For a pipeline, while the service runs: register it, and into the graph when the checks allow."""
    settings = ModuleSettings()
    version = asyncio.run(_register(_load(service), settings))
    for finding in version.findings:
        typer.echo(f"{finding.line or 0}:{finding.column or 0} {finding.severity} {finding.code} {finding.message}")
    typer.echo(f"{version.version} is {version.state}")
    raise typer.Exit(code=0 if version.state == "ACTIVE" else 1)


@cli.command()
def run(service: Name) -> None:
    """Serve, and join the platform at MODPLANE_URL. Example: modplane-sdk run app.main:service"""
    run_service(_load(service), ModuleSettings())


@cli.command()
def test(service: Name) -> None:
    """This folder's tests and the contract suite, in pytest; needs the extra `test`."""
    is_plugged_in = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
    plugin = [] if is_plugged_in else ["-p", PLUGIN]
    # a process of its own: pytest wants to be there before what it is to look into is imported
    command = [sys.executable, "-m", "pytest", *plugin, "--modplane-module", service]
    raise typer.Exit(code=subprocess.call(command))  # noqa: S603  # nothing of it is a shell's to read


async def _register(service: ModuleService, settings: ModuleSettings) -> SubgraphVersion:
    async with PlatformClient(settings.url, api_key=settings.read_api_key()) as client:
        membership = Membership(
            client=client, service=service, url=settings.service_url, routing_url=settings.routing_url
        )
        return await membership.join()


def _load(name: str) -> ModuleService:
    """Raises typer.BadParameter."""
    try:
        return find_service(name)
    except NoService as error:
        raise typer.BadParameter(str(error)) from error
