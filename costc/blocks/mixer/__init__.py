"""Token mixers with a state of fixed size: state-space models, linear attention, short convolutions. One file each."""
