"""The agent with a chat model as its reasoner and critic."""
