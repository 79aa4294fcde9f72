"""Policies that come with the package: a directory each, with its card."""
