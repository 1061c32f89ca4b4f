"""Pictures of masks, attention and scores, from arrays; how results show themselves in notebooks."""
