"""The second route for pages: a webhook that takes each page as JSON, and the bell of this machine when that fails too.

`WebhookPager` implements `ports.Pager` (`second_route:` in andon.yaml); `ring` is the local alarm. Both are given to
`bot.engine.routed_pager` by the composition root. The body is ours alone: texts from alerts are values in it.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import aiohttp
import structlog
from pydantic import SecretStr

from bot.adapters import outgoing
from bot.core.effects import PageOncall, ResolvePage
from bot.errors import DeliveryError, DeliveryUncertain
from policies.destinations import Destination

SECONDS: Final = 5.0  # one post, answer included; the routed pager waits a little longer
CONNECT_SECONDS: Final = 2.0
MAX_CONNECTIONS: Final = 4  # pages of all shards; more at once would be a storm, and waits
MAX_SUMMARY: Final = 1_024  # characters; as PagerDuty cuts its own: https://support.pagerduty.com/main/docs/pd-cef

log = structlog.get_logger("andon.pager")


class WebhookPager:
    """Posts `{"event", "dedup_key", "service", "severity", "summary", "incident", "source"}`; 2xx is taken."""

    def __init__(self, url: str, credentials: SecretStr | None = None, *, allow_private: bool = False) -> None:
        self._url = url
        self._to = Destination.of(url, allow_private=allow_private)
        self._headers = {"Authorization": f"Bearer {credentials.get_secret_value()}"} if credentials else {}
        self._session: aiohttp.ClientSession | None = None

    async def page(self, page: PageOncall) -> str:
        """Post the page. DeliveryError when the webhook did not take it."""
        return await self._post(
            {
                "event": "page",
                "dedup_key": page.dedup_key,
                "service": page.service,
                "severity": page.severity,
                "summary": page.summary[: MAX_SUMMARY - 1] + "…" if len(page.summary) > MAX_SUMMARY else page.summary,
                "incident": page.incident,
                "source": "andon",
            }
        )

    async def resolve(self, page: ResolvePage) -> str:
        """Post that the page is taken back. DeliveryError when the webhook did not take it."""
        return await self._post(
            {
                "event": "resolve",
                "dedup_key": page.dedup_key,
                "service": page.service,
                "incident": page.incident,
                "source": "andon",
            }
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, body: dict[str, Any]) -> str:
        if self._session is None:
            self._session = outgoing.session(
                self._to, total_seconds=SECONDS, connect_seconds=CONNECT_SECONDS, limit=MAX_CONNECTIONS,
                headers=self._headers,
            )  # fmt: skip
        try:
            async with self._session.post(self._url, json=body, allow_redirects=False) as response:
                if 200 <= response.status < 300:
                    return f"webhook:{body['dedup_key']}"
                raise DeliveryError(f"the second route answered HTTP {response.status}")
        except TimeoutError as error:
            raise DeliveryUncertain(f"the second route did not answer within {SECONDS:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise DeliveryError(f"the second route cannot be reached: {type(error).__name__}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # its text may quote the address, never a secret
            raise DeliveryUncertain(f"the second route cannot be reached: {type(error).__name__}") from error


def ring(page: PageOncall, why: str) -> None:
    """The local alarm: nobody else can be told. One line at the highest level, and the terminal's bell."""
    log.critical(
        "PAGE_NOT_TAKEN",
        service=page.service,
        severity=page.severity,
        incident_id=page.incident,
        summary=page.summary[:MAX_SUMMARY],
        dedup_key=page.dedup_key,
        why=why,
    )
    if sys.stderr.isatty():
        sys.stderr.write("\a")
        sys.stderr.flush()
