"""Tiny random vision-language models with real processors, and what is checked of each."""
