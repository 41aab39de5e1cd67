"""Pixels and prompts to masks and labels."""
