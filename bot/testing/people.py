"""Chat and pager that only remember. Implement `ports.Chat` and `ports.Pager`."""

from __future__ import annotations

from bot.core.effects import PageOncall, PostMessage, ResolvePage
from bot.errors import DeliveryError


class MemoryChat:
    """Keeps what was posted. With `broken` set, nothing is taken, for that reason."""

    def __init__(self) -> None:
        self.posts: list[PostMessage] = []
        self.broken = ""

    async def post(self, message: PostMessage, shard: str) -> str:
        """Take the message; its reference counts from 1."""
        if self.broken:
            raise DeliveryError(self.broken)
        self.posts.append(message)
        return f"post-{len(self.posts)}"

    def texts(self, channel: str | None = None) -> list[str]:
        """What people read, oldest first."""
        return [post.text for post in self.posts if channel is None or post.channel == channel]


class MemoryPager:
    """Keeps pages; as with PagerDuty, one dedup key is one page. With `broken` set, nothing is taken."""

    def __init__(self) -> None:
        self.pages: list[PageOncall] = []
        self.resolved: list[ResolvePage] = []
        self.open: dict[str, PageOncall] = {}
        self.broken = ""

    async def page(self, page: PageOncall) -> str:
        """Take the page; a repeated dedup key does not open a second one."""
        if self.broken:
            raise DeliveryError(self.broken)
        self.pages.append(page)
        self.open.setdefault(page.dedup_key, page)
        return page.dedup_key

    async def resolve(self, page: ResolvePage) -> str:
        """Take the page back; an unknown key is dropped, as PagerDuty does."""
        if self.broken:
            raise DeliveryError(self.broken)
        self.resolved.append(page)
        self.open.pop(page.dedup_key, None)
        return page.dedup_key
