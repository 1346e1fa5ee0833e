"""Options of the synthetic people."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeopleOptions:
    """Builds data sets of synthetic people, and shows them.

    Attributes:
        task: "people".
        mode: "gallery" writes contact sheets, "build" writes a data set.
        num_people: How many people; `gallery` draws four pictures of each.
        seed: Seed of the people.
        size: Side of the pictures in pixels.
        output: Folder of the contact sheets.
        columns: People side by side on a sheet.
        overwrite: Replace existing sheets.
        variant: pairs (two poses of one person), views (four views of one pose, with
            its mesh) or registrations (dense correspondences).
        data_dir: Folder of the data sets.
        num_workers: Processes that render; 0 for one a processor.
    """

    task: str = "people"
    mode: str = "gallery"
    num_people: int = 16
    seed: int = 0
    size: int = 256
    output: str = "output/people"
    columns: int = 2
    overwrite: bool = False
    variant: str = "pairs"
    data_dir: str = "data"
    num_workers: int = 0
