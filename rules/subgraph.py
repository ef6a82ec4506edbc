"""The states of a subgraph, which may follow which, and what a registration must look like.

Never holds: what the SDL says, which is for the checks of federation/.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import urlsplit

from rules.errors import IllegalTransition, InvalidInput

SDL_BYTES_MAX = 192 * 1024  # less than a request may have, so that whoever exceeds it is told by a typed error
URL_MAX = 2048
PLATFORM_NAME = "platform"

Change = Mapping[str, object]


class SubgraphState(StrEnum):
    CHECKING = "CHECKING"  # a worker is to say what it thinks of it
    FAILED = "FAILED"  # and found errors; or an activation did
    NEEDS_APPROVAL = "NEEDS_APPROVAL"  # it would break clients
    CHECKED = "CHECKED"  # may be activated
    ACTIVATING = "ACTIVATING"  # a worker is to put it into the graph
    ACTIVE = "ACTIVE"  # in the graph
    RETIRING = "RETIRING"  # in the graph; a worker is to take it out
    RETIRED = "RETIRED"  # was in the graph


S = SubgraphState
IN_GRAPH = (S.ACTIVE, S.RETIRING)
# In every one of these but the first two a version has been found good once; a rollback may bring it back from there.
TRANSITIONS: Mapping[SubgraphState, tuple[SubgraphState, ...]] = MappingProxyType(
    {
        S.CHECKING: (S.CHECKED, S.NEEDS_APPROVAL, S.FAILED),
        S.FAILED: (S.CHECKING,),
        S.NEEDS_APPROVAL: (S.CHECKED, S.ACTIVE),
        S.CHECKED: (S.ACTIVATING, S.ACTIVE),
        # the graph has changed since the check, so that everything may be found out that a check finds out
        S.ACTIVATING: (S.ACTIVE, S.FAILED, S.NEEDS_APPROVAL, S.RETIRED),
        S.ACTIVE: (S.RETIRING, S.RETIRED),
        # ACTIVE: without it the graph would not compose
        S.RETIRING: (S.RETIRED, S.ACTIVE),
        S.RETIRED: (S.ACTIVATING, S.ACTIVE),
    }
)


def check_transition(current: str, target: str) -> list[IllegalTransition]:
    """Why a subgraph may not go from one state to the other. Staying where it is is no transition: callers skip it."""
    allowed = TRANSITIONS[SubgraphState(current)]
    if target in allowed:
        return []
    message = f"a subgraph that is {current} cannot become {target}; it can become {', '.join(allowed)}"
    return [IllegalTransition(message=message, path=("input", "id"), allowed=tuple(allowed))]


def state_after_failure(*, was_active: bool) -> SubgraphState:
    """What has been in the graph stays as it was then, so that artifacts go on saying what they are made of."""
    return S.RETIRED if was_active else S.FAILED


def breaks_anew(known: Iterable[Change], found: Iterable[Change]) -> bool:
    """Whether clients would break by anything that nobody has been shown: `known` is what was shown, or approved."""
    # by the sentence: it says which of several members goes, and from which type to which
    told = {(each["code"], each["message"]) for each in known if each["criticality"] == "BREAKING"}
    return any(each["criticality"] == "BREAKING" and (each["code"], each["message"]) not in told for each in found)


def check_registration(module: str, sdl: str, routing_url: str) -> list[InvalidInput]:
    """What is wrong with the form of it. Such a registration is not kept at all."""
    problems = []
    if module == PLATFORM_NAME:
        problems.append(InvalidInput(message="the platform's own subgraph is called so", path=("input", "module")))
    if not _is_kept(sdl):
        message = f"the SDL must have 1 to {SDL_BYTES_MAX} bytes of UTF-8"
        problems.append(InvalidInput(message=message, path=("input", "sdl")))
    if (wrong := _wrong_with(routing_url)) is not None:
        problems.append(InvalidInput(message=f"the routing URL {wrong}", path=("input", "routingUrl")))
    return problems


def _is_kept(sdl: str) -> bool:
    try:
        return 0 < len(sdl.encode()) <= SDL_BYTES_MAX and "\0" not in sdl
    except UnicodeEncodeError:
        return False  # half a surrogate pair


def _wrong_with(url: str) -> str | None:
    if len(url) > URL_MAX:
        return f"is longer than {URL_MAX} characters"
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        return "has characters that must be escaped"
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "can't be read"
    if parts.scheme not in ("http", "https") or not has_host:
        return "must be http or https, with a host"
    if "@" in parts.netloc or parts.fragment:
        return "must have neither a user nor a fragment: both would be sent to nobody"
    return None
