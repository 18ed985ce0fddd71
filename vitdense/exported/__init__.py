"""Exported files at work: their certificates, the runtimes that run them, and models that predict by them."""
