"""The layouts that datasets have on disk, read into raw pairs."""
