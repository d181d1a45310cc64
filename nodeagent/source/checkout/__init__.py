"""From the store to root's checkout: handed over, checked, placed."""
