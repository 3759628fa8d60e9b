"""Stands in for asyncio in the calculator's Python, which answers one question after the other and never waits."""
