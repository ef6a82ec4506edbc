"""The command line: one word per thing to do. Imports what a command needs only when it runs: a token is quick."""

import logging
import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.settings import Settings

cli = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The control plane of modular, multi-tenant products."
)
ROOT = Path(__file__).parent.parent
MONTH = 30 * 24 * 3600  # auth.tokens.TOKEN_SECONDS_MAX: nobody takes a token for longer, whatever it says itself


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # it logs each failed attempt as an error; relay, reactions and live stream say what matters of it
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # it logs each request; whoever asked says what matters of it
    logging.getLogger("httpx").setLevel(logging.WARNING)
    cli()


def _fail(message: str) -> typer.Exit:
    typer.echo(f"modplane: {message}", err=True)
    return typer.Exit(code=1)


@cli.command()
def dev(gateway: Annotated[bool, typer.Option(help="The gateway too; needs Node 20.")] = False) -> None:
    """Everything on this machine, embedded servers included. Example: MODPLANE_PORT=8080 modplane dev --gateway"""
    from app.dev import PortTaken, run_dev
    from app.embedded.errors import EmbeddedServerError

    try:
        code = run_dev(Settings(), has_gateway=gateway)
    except (PortTaken, EmbeddedServerError) as error:
        raise _fail(str(error)) from None
    raise typer.Exit(code=code)


@cli.command()
def serve(
    roles: Annotated[str, typer.Option(help="Any of api,relay,reactions,worker.")] = "api,relay,reactions,worker",
) -> None:
    """Some roles on servers that are there. Example: modplane serve --roles api"""
    from app.dev import PortTaken, run_serve
    from app.migrate import UnsafeRole
    from app.serve import ROLES

    wanted = tuple(dict.fromkeys(role.strip() for role in roles.split(",") if role.strip()))
    unknown = [role for role in wanted if role not in ROLES]
    if unknown or not wanted:
        raise _fail(f"no role {', '.join(unknown) or '(none given)'}; there are {', '.join(ROLES)}")
    try:
        code = run_serve(Settings(), wanted)
    except (PortTaken, UnsafeRole, ValueError) as error:
        raise _fail(str(error)) from None
    raise typer.Exit(code=code)


@cli.command()
def migrate(revision: Annotated[str, typer.Option(help="head, base or a revision.")] = "head") -> None:
    """Bring roles and tables to a revision. Example: DATABASE_URL=postgresql://… modplane migrate"""
    from app.dev import run_migrate

    try:
        run_migrate(Settings(), revision)
    except ValueError as error:
        raise _fail(str(error)) from None


@cli.command()
def seed(pack: Annotated[str, typer.Argument(help="erp, commerce or financial.")]) -> None:
    """Load a fixture pack; again changes nothing. Example: modplane seed commerce"""
    from app.admin import run_seed
    from app.seed import UnknownPack

    try:
        modules, industries = run_seed(Settings(), pack)
    except (UnknownPack, ValueError) as error:
        raise _fail(str(error)) from None
    typer.echo(f"{pack}: {modules} modules, {industries} industries")


@cli.command()
def token(
    role: Annotated[str, typer.Option(help="SUPER_ADMIN, ORGANIZATION_ADMIN, COMPANY_ADMIN, MEMBER or MODULE.")],
    organization: Annotated[UUID | None, typer.Option(help="The tenant; all roles but SUPER_ADMIN need it.")] = None,
    company: Annotated[UUID | None, typer.Option(help="Binds the bearer to one company.")] = None,
    subject: Annotated[str, typer.Option(help="Who it is, for the audit.")] = "cli",
    seconds: Annotated[int, typer.Option(help="Lifetime, 30 days at most.", min=1, max=MONTH)] = MONTH,
) -> None:
    """Print a token, and nothing else. Example: modplane token --role ORGANIZATION_ADMIN --organization ID"""
    from app.keys import signing_key
    from auth.actor import Role
    from auth.tokens import TOKEN_ROLES, TokenIssuer, TokenSubject, sign_token

    if role not in TOKEN_ROLES:
        raise _fail(f"no role {role!r}; there are {', '.join(each for each in Role if each in TOKEN_ROLES)}")
    if role == Role.SUPER_ADMIN and (organization or company):
        raise _fail("a SUPER_ADMIN belongs to no organization")
    if role != Role.SUPER_ADMIN and organization is None:
        raise _fail(f"{role} needs --organization")
    if role == Role.COMPANY_ADMIN and company is None:
        raise _fail("COMPANY_ADMIN needs --company")
    bearer = TokenSubject(role=Role(role), subject=subject, organization_id=organization, company_id=company)
    key = signing_key(Settings().keys_dir)
    typer.echo(sign_token(key, bearer, lifetime_seconds=seconds, issuer=TokenIssuer()))


@cli.command()
def schema(
    check: Annotated[bool, typer.Option(help="Compare with schema.graphql and fail when they differ.")] = False,
) -> None:
    """Print the subgraph's SDL. Example: modplane schema > schema.graphql"""
    from graph.schema import schema as built

    sdl = built.as_str() + "\n"
    if not check:
        typer.echo(sdl, nl=False)
    elif (ROOT / "schema.graphql").read_text() != sdl:
        raise _fail("schema.graphql is not what the code says: run 'make schema' and review the difference")


@cli.command()
def supergraph(
    plan: Annotated[str | None, typer.Option(help="What clients of this plan see, for documentation.")] = None,
    public: Annotated[bool, typer.Option(help="What clients see, not what gateways execute.")] = False,
) -> None:
    """Print the graph that is served, as a plain file. Example: modplane supergraph > supergraph.graphql"""
    from app.admin import read_supergraph

    try:
        sdl = read_supergraph(Settings(), plan=plan, is_public=public)
    except (ValueError, OSError) as error:
        raise _fail(str(error)) from None
    if sdl is None:
        raise _fail("there is none yet; a worker composes the first one (modplane dev, or serve with the role worker)")
    typer.echo(sdl, nl=not sdl.endswith("\n"))


@cli.command()
def asyncapi(
    schemas: Annotated[Path | None, typer.Option(help="Write the JSON Schema of each event type here.")] = None,
) -> None:
    """Print the AsyncAPI document of the events. Example: modplane asyncapi > asyncapi.json"""
    import json
    from importlib.metadata import version

    from events.contract import asyncapi as document
    from events.contract import body_schema
    from events.types import EventType

    if schemas is None:
        typer.echo(json.dumps(document(version("modplane")), indent=2))
        return
    for kind in EventType:
        text = json.dumps(body_schema(kind), indent=2) + "\n"
        (schemas / f"{kind.cloud_event_type}.json").write_text(text)


@cli.command()
def doctor() -> None:
    """Say what is missing or can't be reached. Example: DATABASE_URL=postgresql://… modplane doctor"""
    from app.doctor import examine

    findings = examine(Settings())
    for finding in findings:
        typer.echo(f"{'ok     ' if finding.is_ok else 'PROBLEM'}  {finding.text}")
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(code=1)


if __name__ == "__main__":
    main()
