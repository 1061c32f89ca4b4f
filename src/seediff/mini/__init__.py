"""How the embedded model is made and measured: its world, its yardsticks, its training. Only `seediff mini` needs it."""
