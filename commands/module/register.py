"""Registering a module, or one more version of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from commands.checks import check_keeps, no_module
from commands.fanout import Fanout, FanoutKind, fan_out, is_under_way
from commands.request import Change, Outcome, Request
from commands.transaction import Transaction, registry_command
from events.facts import module_fact, version_state
from events.types import EventType
from models.base import PLATFORM_ID
from models.module import ModuleRow, ModuleVersionRow
from queries.module import load_catalog, load_versions
from rules.config_schema import check_merged
from rules.dependency_resolution import Release
from rules.errors import AlreadyExists, InvalidInput, InvalidManifest, Locked, Problem, Refusal, refuse_if_any
from rules.json_values import content_hash
from rules.manifest import Manifest, read_manifest
from rules.plans import LOWEST_PLAN
from rules.release_check import check_release
from rules.version_range import latest_of

MANIFEST = ("input", "manifest")


@dataclass(frozen=True, kw_only=True)
class RegisterModule(Request):
    manifest: Any
    visibility: str | None = None
    tier: str | None = None


@dataclass
class _Registration:
    """What is registered, beside what is there."""

    manifest: Manifest
    known: ModuleRow | None
    tier: str
    visibility: str
    numbers: list[str] = field(default_factory=list)

    @property
    def is_latest(self) -> bool:
        return latest_of([*self.numbers, self.manifest.version]) == self.manifest.version


@registry_command
async def register_module(tx: Transaction, request: RegisterModule) -> Outcome:
    """A new code makes a module, a new version of a known one adds that version. Versions are immutable."""
    manifest = read_manifest(request.manifest)
    check_keeps(tx.actor, manifest.code, path=MANIFEST)
    registration = await _read(tx, request, manifest)
    shows = {"module": manifest.code}
    if await _is_registered(tx, manifest, registration.known):
        return Outcome(revision=await tx.current_revision(PLATFORM_ID), shows=shows)
    catalog = await load_catalog(tx)
    release = Release(module=manifest.code, number=manifest.version, requirements=manifest.requirements)
    problems = list(check_release(catalog, release, registration.tier))
    if registration.tier == "CORE":
        problems += _core_problems(manifest)
    refuse_if_any(problem.at(*MANIFEST) for problem in problems)
    becomes_available = registration.known is None or registration.known.deleted_at is not None
    (revision,) = await tx.advance(PLATFORM_ID)
    row = _write_module(tx, registration, revision)
    await tx.session.flush()
    version = _version_row(manifest, revision)
    tx.session.add(version)
    await tx.session.flush()
    tx.record(module_fact(EventType.REGISTERED, row, version=version_state(version)))
    changes: list[Change] = []
    if row.tier == "CORE" and becomes_available:
        given = Fanout(kind=FanoutKind.GIVEN, action="ASSIGN", modules={row.module_id: "CORE"})
        changes = await fan_out(tx, given)
    return Outcome(revision=revision, affected=tuple(changes), shows=shows)


async def _read(tx: Transaction, request: RegisterModule, manifest: Manifest) -> _Registration:
    known = await tx.session.get(ModuleRow, manifest.code)
    is_there = known is not None and known.deleted_at is None
    if not is_there and not tx.actor.is_platform_admin:
        # its service adds versions; that there is a module, and who gets it, is for the platform to say
        raise Refusal(no_module(manifest.code, path=MANIFEST))
    for field_name, given, stored in (
        ("tier", request.tier, known.tier if known else None),
        ("visibility", request.visibility, known.visibility if known else None),
    ):
        if is_there and given is not None and given != stored:
            message = f"{manifest.code} has the {field_name} {stored}; a new version can't change it"
            raise Refusal(InvalidInput(message=message, path=("input", field_name)))
    if known is not None and not is_there and await is_under_way(tx, manifest.code):
        message = f"{manifest.code} is still being taken from its organizations; try again in a moment"
        raise Refusal(Locked(message=message, path=MANIFEST))
    declared = "CORE" if manifest.is_core else "INTERNAL" if manifest.is_internal else "OPTIONAL"
    tier, visibility = request.tier or declared, request.visibility or "PUBLIC"
    if known is not None and is_there:
        tier, visibility = known.tier, known.visibility
    statement = select(ModuleVersionRow.number).where(ModuleVersionRow.module_id == manifest.code)
    numbers = list(await tx.session.scalars(statement))
    return _Registration(manifest=manifest, known=known, tier=tier, visibility=visibility, numbers=numbers)


async def _is_registered(tx: Transaction, manifest: Manifest, known: ModuleRow | None) -> bool:
    """The same version again is a no-op when its content is the same, and refused when it is not."""
    key = (manifest.code, manifest.version)
    version = (await load_versions(tx, {key})).get(key)
    if version is None:
        return False
    if version.content_hash == content_hash(dict(manifest.document)):
        if known is not None and known.deleted_at is not None:
            message = f"{manifest.code} was deleted; register it anew with a version above {known.version}"
            raise Refusal(AlreadyExists(message=message, path=MANIFEST, pointer="/version"))
        return True
    message = f"version {manifest.version} of {manifest.code} is registered with another content; versions don't change"
    raise Refusal(AlreadyExists(message=message, path=MANIFEST, pointer="/version"))


def _core_problems(manifest: Manifest) -> list[Problem]:
    """Every organization has it from the start: in its plan, and with a configuration that the defaults complete."""
    problems: list[Problem] = []
    if manifest.subscription_tier != LOWEST_PLAN:
        message = f"A CORE module is everybody's, so its subscription_tier is {LOWEST_PLAN}."
        problems.append(InvalidManifest(message=message, pointer="/subscription_tier"))
    if manifest.config_schema is None:
        return problems
    found = check_merged(manifest.config_schema, manifest.default_config)
    at = "/configuration/defaults"
    found_at = [InvalidManifest(message=problem.message, pointer=at + (problem.pointer or "")) for problem in found]
    return [*problems, *found_at]


def _write_module(tx: Transaction, registration: _Registration, revision: int) -> ModuleRow:
    manifest, row = registration.manifest, registration.known
    now = datetime.now(UTC)
    if row is None:
        row = ModuleRow(module_id=manifest.code, created_at=now)
        tx.session.add(row)
    if registration.is_latest:
        row.module_name, row.description, row.category = manifest.name, manifest.description, manifest.category
        row.tags, row.module_metadata = list(manifest.tags), dict(manifest.metadata)
        row.service_name, row.api_endpoint = manifest.service_name, manifest.api_endpoint
        row.version = manifest.version
    if row.deleted_at is not None or registration.known is None:
        row.tier, row.visibility, row.is_active, row.deleted_at = (
            registration.tier,
            registration.visibility,
            True,
            None,
        )
    row.revision, row.updated_at = revision, now
    return row


def _version_row(manifest: Manifest, revision: int) -> ModuleVersionRow:
    requirements = [
        {"module": each.module, "range": each.range, "is_optional": each.is_optional} for each in manifest.requirements
    ]
    return ModuleVersionRow(
        module_id=manifest.code,
        number=manifest.version,
        manifest=dict(manifest.document),
        content_hash=content_hash(dict(manifest.document)),
        config_schema=manifest.config_schema,
        default_config=dict(manifest.default_config),
        requirements=requirements,
        permissions=list(manifest.permissions),
        features=list(manifest.features),
        required_plan=manifest.subscription_tier,
        revision=revision,
        published_at=datetime.now(UTC),
    )
