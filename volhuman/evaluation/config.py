"""Options of the evaluation of folders."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Compares a folder of predictions with a folder of ground truth.

    Files belong together when they have the same name without suffix.

    Attributes:
        task: "evaluate".
        kind: "images", "meshes" (y up, z to the front) or "joints" (JSON).
        prediction: Folder of predictions.
        truth: Folder of ground truth; its files decide what is evaluated.
        mask: Folder of mask pictures (white is the person), for the structural
            similarity of foreground and background; images only.
        bare_body: Folder of the same items made from the body alone, without clothing
            and texture: what a prediction has to beat.
        no_bare_body: Why there is no such folder; one of the two is needed.
        output: Folder for scores.json, scores.csv and scores.md.
        overwrite: Replace existing results.
        name: Name of the method, the heading of its row.
        variant: Names of definitions, separated by commas. Images: standard, gaussian,
            repose, lwb. Meshes: standard, pifuhd, icon, pamir. Joints: standard,
            h36m-1-17, h36m-1-14.
        alignment: What is aligned first, meshes only: none, z shift, rigid, similarity.
        unit: Unit of the coordinates in files of meshes and joints: m, cm or mm.
        failures: What happens when a prediction is missing or unusable: "refuse" stops
            and names it, "count" reports it in the number of failures.
        person: Separator after the person in file names ("_" in `anna_030.png`): files
            of one person are no independent evidence, and the intervals account for it.
            Empty when every file shows another person.
        seed: Seed of surface samples and intervals.
        lpips_backbone: Weights of AlexNet or VGG16 (.safetensors or .npz) for LPIPS.
        lpips_linear: LPIPS's linear layers; empty when they are in the same file.
        data: Name of the data and split, for the record.
        data_version: Its version.
        body_source: Where the predictions' bodies come from, for the record.
    """

    task: str = "evaluate"
    kind: str = "images"
    prediction: str = ""
    truth: str = ""
    mask: str = ""
    bare_body: str = ""
    no_bare_body: str = ""
    output: str = "output/evaluate"
    overwrite: bool = False
    name: str = "prediction"
    variant: str = "standard"
    alignment: str = "none"
    unit: str = "m"
    failures: str = "refuse"
    person: str = ""
    seed: int = 0
    lpips_backbone: str = ""
    lpips_linear: str = ""
    data: str = "not stated"
    data_version: str = "not stated"
    body_source: str = "not stated"
