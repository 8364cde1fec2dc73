"""People in video: clips with boxes, identities, joints and actions, made by a seed or read from HiEve's files."""
