"""Answers to the questions before a purchase: how much, which, whether at all."""
