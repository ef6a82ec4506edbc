"""All that is asked of a subgraph before it may become part of the graph, in order.

Never holds: a single check (lint.py, ownership.py, routing.py, composer.py, changes.py, live.py); where results go.
"""

import asyncio
import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphql import DocumentNode, parse

from federation.changes import compare
from federation.composer import Composer
from federation.finding import Change, Criticality, Finding, Severity
from federation.lint import Subject, lint
from federation.live import check_live
from federation.names import is_owned
from federation.ownership import trespasses, unprefixed
from federation.routing import RoutingPolicy, check_routing_url
from federation.sdl import ROOTS, TypeOutline, outline, parse_sdl, positions
from federation.specification import without_specified
from federation.stamping import stamp
from federation.subgraph import PLATFORM, SUBGRAPHS_MAX, Composed, Subgraph
from federation.validity import validity

FINDINGS_MAX = 100
CHANGES_MAX = 500
COORDINATE = re.compile(r"[A-Za-z_]\w*(?:\.\w+(?:\(\w+:\))?)?")

# What the composer's sentences do not say, by their code.
WAYS_OUT = {
    "MISSING_TRANSITIVE_AUTH_REQUIREMENTS": (
        'Write @policy(policies: [["module:<code>"]]) on it, with the code of the module whose field it requires.'
    ),
}


@dataclass(frozen=True)
class Candidate:
    """What a module would like to bring into the graph, as its team wrote it."""

    module: str
    sdl: str
    routing_url: str


@dataclass(frozen=True)
class CheckResult:
    """The findings in the order in which they were made. `composed` is None when it did not come to that, or failed."""

    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    stamped_sdl: str | None
    composed: Composed | None

    @property
    def is_ok(self) -> bool:
        return not _has_error(self.findings)

    @property
    def is_breaking(self) -> bool:
        return any(change.criticality is Criticality.BREAKING for change in self.changes)


def inspect(candidate: Candidate, platform_sdl: str) -> tuple[tuple[Finding, ...], str | None]:
    """What can be said without the other modules, and the stamped SDL unless there is an error."""
    return _inspect(candidate, (Subgraph(PLATFORM, "", platform_sdl),))


async def check(
    candidate: Candidate,
    active: Sequence[Subgraph],
    *,
    composer: Composer,
    public_sdl: str | None,
    routing: RoutingPolicy,
    require_live: bool,
) -> CheckResult:
    """Everything. `active` holds the platform and not the candidate's module; without `public_sdl` there is no diff.

    Raises ComposerAway when nothing else keeps the candidate from being composed, and there is no composer.
    """
    # parsing takes as long as the SDL is large, and others work on this event loop
    found, stamped = await asyncio.to_thread(_inspect, candidate, active)
    findings = [*found, *check_routing_url(candidate.routing_url, routing)]
    if stamped is None or _has_error(findings):
        return CheckResult(tuple(findings), (), stamped, None)
    mine = Subgraph(candidate.module, candidate.routing_url, stamped)
    composed = await composer.compose([*active, mine])
    if not isinstance(composed, Composed):
        located = await asyncio.to_thread(_locate, composed, candidate.sdl)
        return CheckResult((*findings, *located), (), stamped, None)
    changes = await asyncio.to_thread(compare, public_sdl, composed.public_sdl) if public_sdl is not None else ()
    if len(changes) > CHANGES_MAX:
        why = f"{len(changes):,} changes are too many to be shown: these are the {CHANGES_MAX} worst."
        findings.append(Finding(Severity.WARNING, "CHANGES_LEFT_OUT", why))
    severity = Severity.ERROR if require_live else Severity.WARNING
    findings += await check_live(candidate.routing_url, candidate.sdl, routing, severity=severity)
    return CheckResult(tuple(findings), changes[:CHANGES_MAX], stamped, composed)


def _inspect(candidate: Candidate, active: Sequence[Subgraph]) -> tuple[tuple[Finding, ...], str | None]:
    read = parse_sdl(candidate.sdl)
    if isinstance(read, Finding):
        return (read,), None
    subject = Subject(candidate.module, without_specified(read))
    owners = {subgraph.name: _outline(subgraph.sdl) for subgraph in active}
    found = [
        *_no_room(owners),
        *validity(subject.document),
        *lint(subject),
        *unprefixed(subject, owners.get(PLATFORM, {})),
        *_trespasses(subject, owners),
    ]
    # errors first, so that no number of warnings hides one
    findings = tuple(sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)[:FINDINGS_MAX])
    if _has_error(findings):
        return findings, None
    return findings, stamp(read, candidate.module, _foreign(candidate.module, owners))


def _foreign(module: str, owners: Mapping[str, Collection[str]]) -> frozenset[str]:
    """The types that are in the graph, but for those that are the module's by their names, and nobody else's."""
    return frozenset(
        name
        for owner, names in owners.items()
        for name in names
        if name not in ROOTS and (owner == PLATFORM or is_owned(name, owner) or not is_owned(name, module))
    )


def _no_room(owners: Collection[str]) -> Iterator[Finding]:
    if len(owners) >= SUBGRAPHS_MAX:
        why = f"The graph has the {SUBGRAPHS_MAX} subgraphs that it may have; another module has to leave it first."
        yield Finding(Severity.ERROR, "GRAPH_FULL", why)


def _trespasses(subject: Subject, owners: Mapping[str, Mapping[str, TypeOutline]]) -> Iterable[Finding]:
    """Each once: of a type that many extend, all of them would say the same."""
    found: dict[tuple[object, ...], Finding] = {}
    for owner, theirs in owners.items():
        for each in trespasses(subject, owner, theirs):
            found.setdefault((each.code, each.line, each.column, each.coordinate), each)
    return found.values()


def _outline(sdl: str) -> dict[str, TypeOutline]:
    """Of what is in the graph: without limits, which it kept to before it was stamped."""
    return outline(without_specified(parse(sdl, no_location=True)))


def _locate(findings: Iterable[Finding], sdl: str) -> tuple[Finding, ...]:
    """Findings of the composer at the lines of the candidate, by their coordinate, or the first that they mention."""
    document = parse_sdl(sdl)
    assert isinstance(document, DocumentNode)
    known = positions(document)
    located = []
    for finding in findings:
        # a word of the sentence may be a type's name too; `Type.field` is hardly ever meant otherwise
        names = sorted(COORDINATE.findall(finding.message), key=lambda name: "." not in name)
        mentioned = [finding.coordinate, *names]
        coordinate = next((name for name in mentioned if name in known), finding.coordinate)
        line, column = known.get(coordinate or "", (None, None))
        message = " ".join(filter(None, (finding.message, WAYS_OUT.get(finding.code))))
        located.append(dataclasses.replace(finding, message=message, coordinate=coordinate, line=line, column=column))
    return tuple(located)


def _has_error(findings: Iterable[Finding]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in findings)
