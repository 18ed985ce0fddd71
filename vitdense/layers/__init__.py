"""Parts that two or more backbones share because their papers share the equations; torch only."""
