"""What else a layer may hold beside attention, mixer and FFN. One file each."""
