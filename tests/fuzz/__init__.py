"""Foreign bytes for everything on the sound's path that reads them, and what they once broke."""
