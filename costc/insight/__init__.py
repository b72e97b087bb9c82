"""What the algebra can say about models, devices and plans beyond numbers."""
