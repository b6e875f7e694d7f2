"""Limits of how often: requests by address and by viewer, tries of passwords and of codes. It knows no record, and
those whom it counts only by the words that others call them."""
