"""Options of the registration of photographs."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegisterConfig:
    """Fits a body to photographs.

    Attributes:
        task: "register".
        input: Photograph or folder of photographs; empty for the bundled example.
        keypoints: Key point file, or a folder with `<photograph's stem>.json`.
        dense: Dense annotation file, or a folder with `<stem>.json`.
        mask: Mask picture (white is the person), or a folder with `<stem>.png`. Used by
            the silhouette term only.
        output: Folder for the results, made where missing.
        overwrite: Replace existing results.
        body: SMPL file; empty for the embedded body.
        chart: DensePose's `UV_Processed.mat`, for I, U, V annotations.
        num_starts: Starting yaws that are tried.
        first_steps: Adam steps with the stiff weights.
        later_steps: Adam steps with the loose weights.
        learning_rate: Adam's rate.
        silhouette: Weight of the silhouette term, 0 without; 5000 keeps hands and feet
            inside the mask.
        prior: Weight of the pose prior in fits to dense annotations, which follow the
            paper and have none by default; 0.3 makes unseen depths plausible at about
            1 px more error. Fits to key points alone always use the prior.
        crop_margin: Side of the working crop over the extent of the annotation.
        turntable_frames: Frames of the turntable, 0 for none.
        turntable_size: Side of its frames in pixels.
    """

    task: str = "register"
    input: str = ""
    keypoints: str = ""
    dense: str = ""
    mask: str = ""
    output: str = "output/register"
    overwrite: bool = False
    body: str = ""
    chart: str = ""
    num_starts: int = 4
    first_steps: int = 100
    later_steps: int = 500
    learning_rate: float = 0.1
    silhouette: float = 0.0
    prior: float = 0.0
    crop_margin: float = 1.3
    turntable_frames: int = 36
    turntable_size: int = 320
