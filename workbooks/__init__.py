"""Mistral workbooks, shipped as package data."""
