"""Parameters of the towers beside a text model (vision encoders), one function for each layout."""
