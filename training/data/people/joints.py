"""The 14 joints of HiEve, in its order (http://humaninevents.org/format.html, table 1), and its flags."""

JOINTS = (
    "nose",
    "chest",
    "right-shoulder",
    "right-elbow",
    "right-wrist",
    "left-shoulder",
    "left-elbow",
    "left-wrist",
    "right-hip",
    "right-knee",
    "right-ankle",
    "left-hip",
    "left-knee",
    "left-ankle",
)

VISIBLE, HIDDEN, ABSENT = 0, 1, -1
"""A joint's flag. In COCO's files these are 2, 1 and 0."""

BONES = (
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 4),
    (1, 5),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
)
"""Joints that a line joins in a drawing."""

OTHER_SIDE = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10)
"""Of each joint the number that it has in a mirrored picture: there left is right."""
