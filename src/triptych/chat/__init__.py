"""Talking to a multimodal model at any OpenAI-compatible endpoint: pictures, prompts, replies, limits, ledger.

Nothing here knows what the talk is about.
"""
