"""Widgets and plots for notebooks."""
