"""Which tokens are good no longer although they have not expired. Never holds: where that is kept, who may revoke."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from auth.actor import Actor


@dataclass(frozen=True)
class Revocation:
    """Tokens of the subject issued before `not_before`, in seconds since the epoch, are refused.

    Without an organization it is about the platform's own tokens, those of SUPER_ADMIN.
    """

    organization_id: UUID | None
    subject: str
    not_before: float


class Revocations:
    """What this process knows. Asked for every request, so the answer is one look into a dictionary."""

    def __init__(self) -> None:
        self._not_before: dict[tuple[UUID | None, str], float] = {}
        self._listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._not_before)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call it whenever somebody may have to be refused who was not before."""
        self._listeners.append(listener)

    def learn(self, found: Iterable[Revocation]) -> None:
        """Take revocations in; those known already may come again."""
        has_any = False
        for each in found:
            has_any = True
            key = (each.organization_id, each.subject)
            self._not_before[key] = max(each.not_before, self._not_before.get(key, each.not_before))
        if has_any:
            for listener in self._listeners:
                listener()

    def forget(self, before: float) -> None:
        """Drop what no token can be old enough for: `before` is in seconds since the epoch."""
        self._not_before = {key: instant for key, instant in self._not_before.items() if instant >= before}

    def refuses(self, actor: Actor) -> bool:
        """Whether the actor's token was revoked. One without a token, the platform itself say, has none to revoke."""
        if actor.issued_at is None:
            return False
        # a platform administrator's token is the platform's, whatever organization it names
        organization_id = None if actor.is_platform_admin else actor.organization_id
        not_before = self._not_before.get((organization_id, actor.subject))
        return not_before is not None and actor.issued_at < not_before
