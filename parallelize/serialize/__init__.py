"""How values and functions travel, and why one cannot."""
