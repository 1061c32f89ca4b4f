"""Networks and templates that say how good the embedded model's pictures are."""
