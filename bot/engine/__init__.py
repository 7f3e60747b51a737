"""The asyncio shell around the pure core: ports, the fold loop, dispatch and the sweeper."""
