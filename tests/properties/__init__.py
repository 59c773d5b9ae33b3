"""What must hold for every design, on small random ones."""
