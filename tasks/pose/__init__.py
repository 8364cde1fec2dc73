"""The task `pose`: the joints of a person in a crop around them."""
