"""The feature space that a column of a table judges in."""


def space_of(column: str) -> str:
    """Return it, e.g. "effnet" of fd_effnet, kid_effnet and fd_effnet_reconstruction.

    The label accuracy is the domain classifier's. Of columns that compare no features, what is returned is
    the name of no space.
    """
    if column == "label_accuracy":
        return "classifier"
    _, _, rest = column.partition("_")
    return rest.partition("_")[0]
