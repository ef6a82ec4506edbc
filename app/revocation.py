"""Keeps an API process informed of credentials, every second: of revoked tokens the news, of API keys all in force."""

import asyncio
import logging
import time

from sqlalchemy.exc import SQLAlchemyError

from auth.actor import PLATFORM
from auth.tokens import LEEWAY_SECONDS, TOKEN_SECONDS_MAX
from commands.api_key import note_use
from commands.token_revocation import forget_revocations
from commands.transaction import Writer
from graph.context import Services
from queries.api_key import load_api_keys_in_force
from queries.reader import open_reader
from queries.token_revocation import FROM_THE_START, load_revocations

log = logging.getLogger("modplane.revocation")

ASK_EVERY_SECONDS = 1.0
ANSWER_SECONDS_MAX = 10.0
FORGET_EVERY_SECONDS = 3600.0
# Beyond the oldest token that could still be good: clocks of issuers and servers may differ by some minutes.
KEPT_SECONDS = TOKEN_SECONDS_MAX + LEEWAY_SECONDS + 3600


class RevocationWatch:
    """`start`, then `run` until it is cancelled. What is known stays known when nobody answers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._since = FROM_THE_START
        self._is_failing = False

    async def start(self) -> None:
        """Before the first request. Raises what the database raises."""
        await self._refresh()
        await self._forget()

    async def _refresh(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS_MAX), open_reader(self._services.database, PLATFORM) as reader:
            news = await load_revocations(reader, self._since)
            asked_at = time.monotonic()
            keys = await load_api_keys_in_force(reader)
        self._since = news.next_since
        self._services.revocations.learn(news.found)
        self._services.api_keys.hold(keys, asked_at=asked_at)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        forget_at = loop.time() + FORGET_EVERY_SECONDS
        while True:
            await asyncio.sleep(ASK_EVERY_SECONDS)
            if loop.time() >= forget_at:
                await self._forget()
                forget_at = loop.time() + FORGET_EVERY_SECONDS
            try:
                await self._refresh()
                await self._note_use()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                if not self._is_failing:
                    log.warning("no news of credentials, those known stay good or refused: %s", type(error).__name__)
                self._is_failing = True
            else:
                self._is_failing = False

    async def _note_use(self) -> None:
        """Of API keys: here and not in the request that used one, which must not wait for it."""
        if used := self._services.api_keys.take_used():
            await note_use(self._writer(), used)

    def _writer(self) -> Writer:
        services = self._services
        return Writer(database=services.database, actor=PLATFORM, floor=services.floor, wakeup=services.wakeup)

    async def _forget(self) -> None:
        try:
            await forget_revocations(self._writer(), older_than_seconds=KEPT_SECONDS)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("old revocations stay for another hour: %s", type(error).__name__)
        self._services.revocations.forget(self._since.timestamp() - KEPT_SECONDS)
