"""The intermediate representation: named axes, tensors, operators, sections, and the model that builds them."""
