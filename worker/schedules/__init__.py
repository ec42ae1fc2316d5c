"""Recurring imports: which slots are due, and that each is run once by any number of schedulers."""
