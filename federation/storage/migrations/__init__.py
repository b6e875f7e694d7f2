"""The schema in its versions. A migration must never read or write a record's values."""
