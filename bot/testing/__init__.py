"""In-memory twins of the engine's ports, and a clock that moves when told.

They ship with Andon: its own suites run on them, and whoever writes an action or a policy tests with them. The store's
twin passes the same contract suite as the real one.
"""

from bot.testing.alertmanager import MemoryAlertmanager
from bot.testing.archive import MemoryArchive
from bot.testing.clock import FakeClock
from bot.testing.journal import MemoryJournal
from bot.testing.local_targets import MemoryProcess, MemoryProgram
from bot.testing.people import MemoryChat, MemoryPager
from bot.testing.redis_twin import MemoryRedis
from bot.testing.store import MemoryStore
from bot.testing.targets import MemoryEvidence, MemoryHttpTarget, MemoryTargets, SentRequest

__all__ = [
    "FakeClock",
    "MemoryAlertmanager",
    "MemoryArchive",
    "MemoryChat",
    "MemoryEvidence",
    "MemoryHttpTarget",
    "MemoryJournal",
    "MemoryPager",
    "MemoryProcess",
    "MemoryProgram",
    "MemoryRedis",
    "MemoryStore",
    "MemoryTargets",
    "SentRequest",
]
