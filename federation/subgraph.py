"""The words of composition: what goes in, what comes out.

Never holds: how it is done.
"""

from dataclasses import dataclass

PLATFORM = "platform"
SUBGRAPHS_MAX = 64  # in one graph: gateways ask for an identity for each of them at once


@dataclass(frozen=True)
class Subgraph:
    """A subgraph in the graph: `platform`, or a module by its code. A module's SDL is the stamped one."""

    name: str
    url: str
    sdl: str


@dataclass(frozen=True)
class Composed:
    """One graph made of many. `composer` is the composer's name and version: another one may answer differently."""

    supergraph_sdl: str
    public_sdl: str
    composer: str
