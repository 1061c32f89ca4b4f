"""From `AttentionMaps` and class names to masks: the methods, each a numbered recipe, and the steps that they are made of."""
