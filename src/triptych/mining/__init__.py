"""The agent: proposes pairs, reasons about them, writes the modification, criticises it, keeps or drops it."""
