"""Calls to a multimodal model at any OpenAI-compatible endpoint: pictures, prompts, replies, limits, ledger.

Nothing here depends on the content of the questions.
"""
