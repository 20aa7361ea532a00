"""Talking to a multimodal model at any OpenAI-compatible endpoint: pictures, prompts, replies, flow, and the ledger.

Nothing here knows what the talk is about. Submodules are imported where they are used: only the settings are light.
"""

from triptych.chat.settings import ChatSettings, need_chat_libraries

__all__ = ["ChatSettings", "need_chat_libraries"]
