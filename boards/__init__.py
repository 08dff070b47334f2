"""Boards, and the flow that builds for them."""
