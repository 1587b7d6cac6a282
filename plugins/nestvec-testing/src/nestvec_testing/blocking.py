"""An adapter or embedder from a plugin's `open`, called without awaiting: for tests that speak to it directly."""

from nestvec._session.blocking import BlockingFacade, blocking

__all__ = ["BlockingFacade", "blocking"]
