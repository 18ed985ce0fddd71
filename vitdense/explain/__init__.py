"""What a trained backbone attends to, which tokens it keeps, and how far its maps see: as pictures."""
